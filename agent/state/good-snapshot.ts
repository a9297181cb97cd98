import { join } from "node:path";
import * as z from "zod";
import { Instant, type Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { runError } from "../run-error.ts";
import { peekState, writeState } from "../system/state-file.ts";

const GoodSnapshot = z.strictObject({
  snapshot: z.string(),
  /** When its backup began; null in files written by agents before 0.2. */
  at: Instant.nullable().default(null),
});
export type GoodSnapshot = z.infer<typeof GoodSnapshot>;

/**
 * The binding's newest snapshot of a succeeded or warned backup of this host; null when none is recorded. An unreadable
 * file is an error, never "none": the answer decides what is removed. The next good backup replaces the file.
 */
export async function readNewestGood(paths: Pick<Paths, "bindingsDir">, binding: Id): Promise<GoodSnapshot | null> {
  const file = fileOf(paths, binding);
  const good = await peekState(file, GoodSnapshot);
  if (good !== "damaged") return good === "none" ? null : good.value;
  throw runError(
    "host.failed",
    `${file}, the record of the newest good snapshot, is damaged: nothing is removed`,
    "Look at the host's disk; the next good backup writes the file anew.",
  );
}

/** Called with the snapshot of a succeeded or warned backup: retention keeps it until there is a newer one. */
export async function recordGoodSnapshot(
  paths: Pick<Paths, "bindingsDir">,
  { binding, snapshot, at }: { binding: Id; snapshot: string; at: Instant },
): Promise<void> {
  await writeState(fileOf(paths, binding), { snapshot, at });
}

function fileOf(paths: Pick<Paths, "bindingsDir">, binding: Id): string {
  return join(paths.bindingsDir, `${binding}.good.json`);
}
