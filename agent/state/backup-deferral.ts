import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { Deferral } from "./deferral.ts";
import { readState, writeState } from "../system/state-file.ts";

/** The deferral of a binding's backup; null when it is not deferred. */
export async function readBackupDeferral(paths: Pick<Paths, "bindingsDir">, binding: Id): Promise<Deferral | null> {
  return await readState(fileOf(paths, binding), Deferral);
}

/** @param deferral null removes it */
export async function writeBackupDeferral(
  paths: Pick<Paths, "bindingsDir">,
  { binding, deferral }: { binding: Id; deferral: Deferral | null },
): Promise<void> {
  if (deferral === null) await rm(fileOf(paths, binding), { force: true });
  else await writeState(fileOf(paths, binding), deferral);
}

function fileOf({ bindingsDir }: Pick<Paths, "bindingsDir">, binding: Id): string {
  return join(bindingsDir, `${binding}.put-off.json`);
}
