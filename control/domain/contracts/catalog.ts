import type * as z from "zod";
import type { CatalogEntry, CatalogPage, CatalogQuery, ParamValues } from "../../../shared/catalog.ts";
import { ContractBody, type CreateFromCatalog } from "../../../shared/contract.ts";
import { Failure, type Issue } from "../../../shared/failure.ts";
import { findService, listServices, SERVICES, toCatalogEntry } from "../../catalog/catalog.ts";
import { fillTemplate } from "../../catalog/fill.ts";
import { readParams } from "../../catalog/params.ts";
import type { LayoutTemplate } from "../../catalog/template.ts";
import { invalidRequest, notFound } from "../errors.ts";

export function listCatalog(query: z.infer<typeof CatalogQuery>): z.infer<typeof CatalogPage> {
  return listServices(query);
}

export function getCatalogEntry(name: string): CatalogEntry {
  const service = findService(name);
  if (service === null) throw notFound("catalog", `"${name}"; GET /api/v1/catalog lists them`);
  return toCatalogEntry(service);
}

/** Fills a catalogue entry with parameters. Throws `request.invalid` with all their faults. */
export function bodyFromCatalog(
  input: Pick<CreateFromCatalog, "fromCatalog" | "layout" | "params">,
): z.infer<typeof ContractBody> {
  const service = findService(input.fromCatalog);
  if (service === null) {
    const names = SERVICES.map(({ name }) => name).join(", ");
    throw invalidRequest(["fromCatalog"], `the catalogue has no "${input.fromCatalog}"; it has ${names}`);
  }
  const layout = Object.entries(service.layouts).find(([name]) => name === input.layout)?.[1];
  if (layout === undefined) {
    throw invalidRequest(["layout"], `must be one of ${Object.keys(service.layouts).join(", ")}`);
  }
  return bodyOfLayout(layout, input.params);
}

export function bodyOfLayout(layout: LayoutTemplate, params: ParamValues): ContractBody {
  const { values, faults } = readParams(layout.params, params);
  const { contract, missing } = fillTemplate(layout, values);
  const faulty = new Set(faults.map(({ name }) => name));
  const issues: Issue[] = [
    ...faults.map(({ name, message }) => ({ path: ["params", name], message })),
    ...missing
      .filter((name) => !faulty.has(name))
      .map((name) => ({ path: ["params", name], message: `is required: ${describe(layout, name)}` })),
  ];
  const [first] = issues;
  if (first === undefined) {
    const body = ContractBody.safeParse(contract);
    if (body.success) return body.data;
    // Each value is valid, but the contract is not: for example, a path is too long.
    throw invalidRequest(
      ["params"],
      `do not make a valid contract: ${body.error.issues[0]?.message ?? "it would not be valid"}`,
    );
  }
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : "";
  throw new Failure("request.invalid", `${first.path.join(".")}: ${first.message}${more}`, issues);
}

function describe(layout: LayoutTemplate, name: string): string {
  return layout.params.find((param) => param.name === name)?.description ?? name;
}
