import { join } from "node:path";
import * as z from "zod";
import { Instant, type Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { runError } from "../run-error.ts";
import { peekState, writeState } from "../system/state-file.ts";

const GoodSnapshot = z.strictObject({
  snapshot: z.string(),
  /** When its backup began; null in what agents before 0.2 remembered. */
  at: Instant.nullable().default(null),
});
export type GoodSnapshot = z.infer<typeof GoodSnapshot>;

/**
 * The newest snapshot of the binding that a backup of this host vouched for; null when none is remembered. A file that can't be
 * read is an error, never a "none": the answer decides what is removed. The next good backup writes it anew.
 */
export async function readNewestGood(paths: Pick<Paths, "bindingsDir">, binding: Id): Promise<GoodSnapshot | null> {
  const file = fileOf(paths, binding);
  const good = await peekState(file, GoodSnapshot);
  if (good !== "damaged") return good === "none" ? null : good.value;
  throw runError(
    "host.failed",
    `${file}, which remembers the newest good snapshot, is damaged: nothing is removed`,
    "Look at the host's disk; the next good backup writes the file anew.",
  );
}

/** Called with what a succeeded or warned backup stored: the retention keeps it until there is a newer one. */
export async function recordGoodSnapshot(
  paths: Pick<Paths, "bindingsDir">,
  { binding, snapshot, at }: { binding: Id; snapshot: string; at: Instant },
): Promise<void> {
  await writeState(fileOf(paths, binding), { snapshot, at });
}

function fileOf(paths: Pick<Paths, "bindingsDir">, binding: Id): string {
  return join(paths.bindingsDir, `${binding}.good.json`);
}
