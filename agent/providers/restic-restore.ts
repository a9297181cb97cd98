import { runError, runFailure } from "../runner-failure.ts";
import type { RestoreInput, RestoreResult } from "./provider.ts";
import type { ResticRunner } from "./restic-command.ts";
import { eachNode } from "./restic-contents.ts";
import { resticFailure } from "./restic-failures.ts";
import { clearTheWay, findMissing, rememberParents } from "./restic-in-place.ts";
import { itemErrors, readProgress } from "./restic-messages.ts";
import { matching } from "./snapshot-paths.ts";

/** See OpenRepository.restore. */
export async function restore(runner: ResticRunner, input: RestoreInput): Promise<RestoreResult> {
  const { restic, access } = runner;
  const { snapshot, target, include } = input;
  const wanted = await measure(runner, input);
  const isOldInPlace = target === null && !restic.isAtLeast("0.17.0");
  const putParentsBack = target === null ? await rememberParents(include, access.log) : null;
  let errors = itemErrors();
  const place = target ?? "";
  let failure: RestoreResult["failure"];
  let missing: string[] = [];
  try {
    if (isOldInPlace) await clearTheWay(runner, { snapshot, include });
    failure = await callRestore(runner, { input, errors });
    if (failure === null) missing = await findMissing(runner, { snapshot, include }, place);
    if (missing.length > 0 && isOldInPlace) {
      access.log.line(
        `${missing.length} hard links are gone (a fault of restic ${restic.version}): restoring them again`,
      );
      await clearTheWay(runner, { snapshot, include });
      errors = itemErrors();
      failure = await callRestore(runner, { input, errors });
      missing = await findMissing(runner, { snapshot, include }, place);
    }
  } finally {
    await putParentsBack?.();
  }
  for (const path of missing) errors.add(path, "is not there after the restore");
  const warnings = errors.warnings().map(access.log.redact);
  for (const warning of warnings) access.log.line(`not restored: ${warning}`);
  const failed = errors.count();
  const stats = { filesRestored: Math.max(0, wanted.files - failed), bytesRestored: wanted.bytes };
  if (failed === 0 || access.signal.aborted) return { warnings, failure, stats, items: [] };
  return {
    warnings,
    failure: runFailure("restore.incomplete", `${failed} of ${wanted.files} files were not restored`),
    stats,
    items: [],
  };
}

/** Counts what there is to restore; a path that the snapshot does not hold is found out before anything is written. */
async function measure(
  runner: ResticRunner,
  { snapshot, include }: RestoreInput,
): Promise<{ files: number; bytes: number }> {
  const unseen = new Set(include);
  let files = 0;
  let bytes = 0;
  await eachNode(runner, { snapshot, include }, (node) => {
    const path = matching(node.path, include);
    if (path !== undefined) unseen.delete(path);
    if (node.type === "dir") return;
    files++;
    bytes += node.size ?? 0;
  });
  const [absent] = unseen;
  if (absent !== undefined) {
    throw runError(
      "restore.incomplete",
      `snapshot ${snapshot.slice(0, 8)} does not hold ${absent}; nothing was restored`,
      "Ask for paths as they are in the snapshot: `holdfast-agent exec BINDING -- ls SNAPSHOT` lists them.",
    );
  }
  return { files, bytes };
}

async function callRestore(
  runner: ResticRunner,
  { input, errors }: { input: RestoreInput; errors: ReturnType<typeof itemErrors> },
): Promise<RestoreResult["failure"]> {
  const { restic, access } = runner;
  const { snapshot, target, include } = input;
  const { downloadKiBs } = access.limits;
  const ended = await runner.call({
    args: [
      ...["restore", snapshot, "--no-lock", "--target", target ?? "/"],
      ...include.map((path) => `--include=${literal(path)}`),
      ...(downloadKiBs === null ? [] : ["--limit-download", `${downloadKiBs}`]),
      // Before, it says its errors as text, also with --json.
      ...(restic.isAtLeast("0.17.0") ? ["--json"] : []),
    ],
    onStdout(line) {
      const progress = readProgress(line, access.clock.now());
      if (progress !== null) input.onProgress(progress);
    },
    onStderr(line) {
      if (!errors.read(line) && !line.startsWith("{")) access.log.line(`restic: ${line}`);
    },
  });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode === 0 || errors.count() > 0) return null;
  return resticFailure(restic, ended, { what: "restore", redact: access.log.redact });
}

/** In restic's pattern language, exactly this path. */
function literal(path: string): string {
  return path.replace(/[\\*?[\]]/g, "\\$&");
}
