import { join } from "node:path";
import * as z from "zod";
import type { Id } from "../shared/ids.ts";
import type { Paths } from "./config.ts";
import { readTextIfThere, writeFileAtomically } from "./files.ts";
import { parseJson } from "./json.ts";

const Good = z.strictObject({ snapshot: z.string() });

/** The newest snapshot of the binding that a backup of this host vouched for; null when none is remembered. */
export async function newestGood(paths: Pick<Paths, "bindingsDir">, binding: Id): Promise<string | null> {
  const good = Good.safeParse(parseJson((await readTextIfThere(fileOf(paths, binding))) ?? ""));
  return good.success ? good.data.snapshot : null;
}

/** Called with what a succeeded or warned backup stored: the retention keeps it until there is a newer one. */
export async function rememberGood(
  paths: Pick<Paths, "bindingsDir">,
  { binding, snapshot }: { binding: Id; snapshot: string },
): Promise<void> {
  await writeFileAtomically(fileOf(paths, binding), `${JSON.stringify({ snapshot })}\n`);
}

function fileOf(paths: Pick<Paths, "bindingsDir">, binding: Id): string {
  return join(paths.bindingsDir, `${binding}.good.json`);
}
