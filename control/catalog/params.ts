import * as z from "zod";
import type { CatalogParam, ParamValues } from "../../shared/catalog.ts";
import { AbsolutePath } from "../../shared/ids.ts";
import { ContainerName, ServiceName, UserName } from "../../shared/unix.ts";

const DATABASE = /^[A-Za-z0-9_][A-Za-z0-9_.$-]{0,62}$/;
const ROLE = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/;

const KINDS: Record<Exclude<CatalogParam["kind"], "choice">, z.ZodType<string>> = {
  path: AbsolutePath.transform((path) => path.replace(/\/+$/, "")).refine(
    (path) => path !== "",
    "must be a directory below '/'",
  ),
  user: UserName,
  unit: ServiceName,
  container: ContainerName,
  database: z.string().regex(DATABASE, "must be a database's name"),
  role: z.string().regex(ROLE, "must be the name of a database user"),
};

/** An invalid parameter, and why. */
export interface ParamFault {
  readonly name: string;
  readonly message: string;
}

/**
 * Validates the given parameters of a layout.
 * @returns the normalized values, with defaults filled in, and the faults of the given ones
 */
export function readParams(
  params: readonly CatalogParam[],
  given: ParamValues,
): { values: ParamValues; faults: ParamFault[] } {
  const values: ParamValues = {};
  const faults: ParamFault[] = [];
  for (const name of Object.keys(given)) {
    if (!params.some((param) => param.name === name)) {
      faults.push({
        name,
        message: `is not a parameter of this layout; it has ${params.map((one) => one.name).join(", ")}`,
      });
    }
  }
  for (const param of params) {
    const value = given[param.name] ?? param.default;
    if (value === null) continue;
    const parsed = schemaOf(param).safeParse(value);
    if (parsed.success) values[param.name] = parsed.data;
    else faults.push({ name: param.name, message: parsed.error.issues[0]?.message ?? "is not valid" });
  }
  return { values, faults };
}

function schemaOf(param: CatalogParam): z.ZodType<string> {
  if (param.kind !== "choice") return KINDS[param.kind];
  return z.string().refine((value) => param.choices.includes(value), `must be one of ${param.choices.join(", ")}`);
}
