import { join } from "node:path";
import * as z from "zod";
import { Retention } from "../../shared/binding.ts";
import type { Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { peekState, quarantine, writeState } from "../system/state-file.ts";

/** What a binding's next forget is compared with. */
const ForgetGate = z.strictObject({
  retention: Retention.nullable().describe("the last one by which snapshots were removed; null: not known any more"),
  most: z
    .array(z.strictObject({ day: z.string(), snapshots: z.int().min(0) }))
    .describe("the most snapshots there were on each of the last days, newest last"),
  waiting: z
    .strictObject({ key: z.string(), snapshots: z.array(z.string()) })
    .nullable()
    .describe("the snapshots that root is asked about"),
});
export type ForgetGate = z.infer<typeof ForgetGate>;

const MOST_DAYS = 7;

/** @returns null when there is none yet. A damaged file knows no retention: any counts as changed */
export async function readForgetGate(paths: Pick<Paths, "bindingsDir">, binding: Id): Promise<ForgetGate | null> {
  const file = fileOf(paths, binding);
  const found = await peekState(file, ForgetGate);
  if (found !== "damaged") return found === "none" ? null : found.value;
  await quarantine(file);
  const lost: ForgetGate = { retention: null, most: [], waiting: null };
  await writeForgetGate(paths, binding, lost);
  return lost;
}

export async function writeForgetGate(paths: Pick<Paths, "bindingsDir">, binding: Id, gate: ForgetGate): Promise<void> {
  await writeState(fileOf(paths, binding), { ...gate, most: gate.most.slice(-MOST_DAYS) });
}

/** Called with the first good backup: what is asked for then was not made to remove anything. */
export async function beginForgetGate(
  paths: Pick<Paths, "bindingsDir">,
  { binding, retention }: { binding: Id; retention: Retention },
): Promise<void> {
  if ((await readForgetGate(paths, binding)) === null)
    await writeForgetGate(paths, binding, { retention, most: [], waiting: null });
}

function fileOf({ bindingsDir }: Pick<Paths, "bindingsDir">, binding: Id): string {
  return join(bindingsDir, `${binding}.forget.json`);
}
