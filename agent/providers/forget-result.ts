import type { RunFailure } from "../../shared/failure.ts";
import type { SnapshotFacts } from "../../shared/run.ts";
import type { ProcessResult } from "../system/process/process.ts";
import { failureOf, runFailure } from "../run-error.ts";
import type { Access, ForgetResult } from "./provider.ts";

interface ForgetCheckInput {
  readonly before: readonly SnapshotFacts[];
  readonly unwanted: readonly string[];
  readonly ended: ProcessResult;
  readonly after: SnapshotFacts[];
  /** Why the engine failed. */
  readonly failureOf: () => RunFailure;
}

/** Result of a forget: what is listed afterwards counts, not the engine's exit code. */
export function buildForgetResult(
  access: Access,
  { before, unwanted, ended, after, ...other }: ForgetCheckInput,
): ForgetResult {
  const left = new Set(after.map(({ id }) => id));
  const removed = before.filter(({ id }) => !left.has(id)).length;
  const refused = unwanted.filter((id) => left.has(id)).length;
  access.log.line(`removed ${removed}, kept ${after.length} snapshots`);
  const result = { snapshots: after, removed };
  if (ended.cancelled) return { ...result, failure: failureOf(access.signal.reason) };
  if (ended.exitCode !== 0 && other.failureOf().code === "repository.locked")
    return { ...result, failure: other.failureOf() };
  if (refused === 0) return { ...result, failure: ended.exitCode === 0 ? null : other.failureOf() };
  // Some versions exit with 0 when nothing could be deleted.
  const failure = runFailure(
    "engine.failed",
    `${refused} snapshots that the retention no longer wants could not be removed and are still there`,
    "If the storage is append-only, that is its purpose: say so in the repository (appendOnly), and apply the retention on a host that may remove from it.",
  );
  return { ...result, failure };
}
