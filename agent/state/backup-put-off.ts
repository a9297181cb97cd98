import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { PutOff } from "./put-off.ts";
import { readState, writeState } from "../system/state-file.ts";

/** Whether, and until when, another program's lock has put a binding's backup off. */
export async function readPutOff(paths: Pick<Paths, "bindingsDir">, binding: Id): Promise<PutOff | null> {
  return await readState(fileOf(paths, binding), PutOff);
}

/** @param putOff null: it is no more */
export async function writePutOff(
  paths: Pick<Paths, "bindingsDir">,
  { binding, putOff }: { binding: Id; putOff: PutOff | null },
): Promise<void> {
  if (putOff === null) await rm(fileOf(paths, binding), { force: true });
  else await writeState(fileOf(paths, binding), putOff);
}

function fileOf({ bindingsDir }: Pick<Paths, "bindingsDir">, binding: Id): string {
  return join(bindingsDir, `${binding}.put-off.json`);
}
