import * as z from "zod";
import type { Retention } from "../../shared/binding.ts";
import { failureOf, runFailure } from "../runner-failure.ts";
import type { OpenRepository } from "./provider.ts";
import type { ResticRunner } from "./restic-command.ts";
import { resticFailure } from "./restic-failures.ts";
import { lockArgs, releaseOwnLock, whileLocked } from "./restic-locks.ts";
import { listSnapshots, ResticSnapshot, scopeArgs } from "./restic-snapshots.ts";

const Groups = z.array(z.object({ remove: z.array(ResticSnapshot.pick({ id: true })).nullish() }));

/** See OpenRepository.forget. Never with --prune: that is another run, and some versions prune what they could not forget. */
export async function forget(
  runner: ResticRunner,
  retention: Retention,
): Promise<Awaited<ReturnType<OpenRepository["forget"]>>> {
  const { restic, access } = runner;
  const before = await listSnapshots(runner);
  let text = "";
  const ended = await whileLocked(runner, () => {
    text = "";
    return runner.call({
      args: [
        "forget",
        "--json",
        ...scopeArgs(access),
        "--group-by",
        "host,tags",
        ...keepArgs(retention),
        ...lockArgs(runner),
      ],
      isOneLine: true,
      onStdout: (line) => (text += line.startsWith("[") ? line : ""),
      onStderr: (line) => access.log.line(`restic: ${line}`),
    });
  });
  await releaseOwnLock(runner, ended);
  const snapshots = await listSnapshots(runner);
  const left = new Set(snapshots.map(({ id }) => id));
  const removed = before.filter(({ id }) => !left.has(id)).length;
  const refused = plannedRemovals(text).filter((id) => left.has(id)).length;
  access.log.line(`removed ${removed}, kept ${snapshots.length} snapshots`);
  if (ended.cancelled) return { snapshots, removed, plan: [], failure: failureOf(access.signal.reason) };
  // Whatever the exit code says: some versions answer 0 when nothing could be deleted.
  if (refused > 0) {
    const failure = runFailure(
      "engine.failed",
      `${refused} snapshots that the retention no longer wants could not be removed and are still there`,
      "If the storage is append-only, that is its purpose: apply the retention where the repository may be written.",
    );
    return { snapshots, removed, plan: [], failure };
  }
  const failure =
    ended.exitCode === 0 ? null : resticFailure(restic, ended, { what: "forget", redact: access.log.redact });
  return { snapshots, removed, plan: [], failure };
}

const FLAGS: readonly (keyof Retention)[] = [
  "keep_hourly",
  "keep_daily",
  "keep_weekly",
  "keep_monthly",
  "keep_yearly",
  "keep_within",
];

/** Whatever the retention says, the newest snapshot stays. */
function keepArgs(retention: Retention): string[] {
  const wanted = FLAGS.flatMap((name) => {
    const value = retention[name];
    return value === undefined || value === 0 ? [] : [`--${name.replaceAll("_", "-")}`, `${value}`];
  });
  return ["--keep-last", `${Math.max(1, retention.keep_last ?? 1)}`, ...wanted];
}

/** restic writes nothing at all when no snapshot matched. */
function plannedRemovals(text: string): string[] {
  if (text === "") return [];
  try {
    return Groups.parse(JSON.parse(text)).flatMap(({ remove }) => (remove ?? []).map(({ id }) => id));
  } catch {
    return [];
  }
}
