import type { RunFailure } from "../../../shared/failure.ts";
import type { Extraction, FailedPath, SnapshotContents } from "../contents.ts";
import type { ResticRunner } from "./command.ts";
import { listNodes, readContents, STAND_IN } from "./contents.ts";
import { resticFailure } from "./failures.ts";
import { itemErrors, readProgress } from "./messages.ts";
import { selectionArgs } from "./selection.ts";

/** restic's part of one restore. */
export function resticContents(runner: ResticRunner): SnapshotContents {
  return {
    keeps: {
      engine: `restic ${runner.restic.version}`,
      oldestMs: -Infinity,
      newestMs: Infinity,
      // restic issue 3311
      keepsRawTargets: runner.restic.isAtLeast("0.16.0"),
    },
    replacementChar: STAND_IN,
    // Before 0.17, restic writes through links, fails on special files, and deletes a hard link without creating it
    // again (0.14).
    needsSingleNames: !runner.restic.isAtLeast("0.17.0"),
    list: (snapshot, onNode) => listNodes(runner, snapshot, onNode),
    readContents: (selection, onContent) => readContents(runner, selection, onContent),
    extract: (extraction) => extract(runner, extraction),
  };
}

async function extract(
  runner: ResticRunner,
  extraction: Extraction,
): Promise<{ failed: FailedPath[]; failure: RunFailure | null }> {
  const { restic, access } = runner;
  const { snapshot, root, isFresh, onProgress } = extraction;
  const errors = itemErrors();
  const selection = selectionArgs(restic, extraction);
  const ended = await runner.call({
    args: [
      "restore",
      snapshot,
      "--no-lock",
      "--target",
      root === "" ? "/" : root,
      ...selection.args,
      // Over an existing file, a hole left out by --sparse may contain old data.
      ...(isFresh && restic.isAtLeast("0.15.0") ? ["--sparse"] : []),
      // Before 0.17, errors are printed as text, also with --json.
      ...(restic.isAtLeast("0.17.0") ? ["--json"] : []),
    ],
    files: selection.files,
    onStdout(line) {
      const progress = readProgress(line, access.clock.now());
      if (progress !== null) onProgress(progress);
    },
    onStderr(line) {
      if (!errors.read(line) && !line.startsWith("{")) access.log.line(`restic: ${line}`);
    },
  });
  if (ended.cancelled) access.signal.throwIfAborted();
  const failed = errors.all();
  if (ended.exitCode === 0 || failed.length > 0) return { failed, failure: null };
  return { failed, failure: resticFailure(restic, ended, { what: "restore", redact: access.log.redact }) };
}
