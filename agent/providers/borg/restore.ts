import type { RunFailure } from "../../../shared/failure.ts";
import type { Extraction, FailedPath, SnapshotContents } from "../contents.ts";
import type { BorgRunner } from "./command.ts";
import { listNodes, readContents, STAND_IN } from "./contents.ts";
import { borgFailure, isWarning } from "./failures.ts";
import { splitItemWarning, readProgress, readLogMessage } from "./messages.ts";
import { selectBelow, selectExactly } from "./selection.ts";
import { nameOf } from "./snapshots.ts";
import { itemWarnings } from "../item-warnings.ts";

/** What a signed 32-bit time can be, less two days: borg's own bound, so that 32-bit machines can read its archives. */
const NEWEST_MS = (2 ** 31 - 1 - 48 * 3600) * 1000;

/** borg's part of one restore. */
export function borgContents(runner: BorgRunner): SnapshotContents {
  let named: Promise<string> | null = null;
  const archiveOf = (snapshot: string): Promise<string> => (named ??= nameOf(runner, snapshot));
  return {
    keeps: { engine: `borg ${runner.borg.version}`, oldestMs: 0, newestMs: NEWEST_MS, keepsRawTargets: true },
    replacementChar: STAND_IN,
    // Borg removes what is in a file's place before it creates the file.
    needsSingleNames: false,
    list: async (snapshot, onNode) => listNodes(runner, await archiveOf(snapshot), onNode),
    async readContents({ snapshot, include }, onContent) {
      await readContents(runner, { archive: await archiveOf(snapshot), include }, onContent);
    },
    extract: async (extraction) => extract(runner, await archiveOf(extraction.snapshot), extraction),
  };
}

/** Borg extracts into its working directory. */
async function extract(
  runner: BorgRunner,
  archive: string,
  { include, nodes, root, setsFlags, onProgress }: Extraction,
): Promise<{ failed: FailedPath[]; failure: RunFailure | null }> {
  const { access } = runner;
  const errors = itemWarnings();
  const { args, files } = nodes === null ? selectBelow(include) : selectExactly(nodes.map(({ path }) => path));
  const options = [
    "--log-json",
    "--progress",
    "--bypass-lock",
    "--numeric-ids",
    "--sparse",
    ...(setsFlags ? [] : ["--noflags"]),
    ...args,
  ];
  const ended = await runner.call({
    args: ["extract", ...options, `::${archive}`],
    files,
    cwd: root === "" ? "/" : root,
    onStderr(line) {
      const progress = readProgress(line, access.clock.now());
      if (progress !== null) return onProgress(progress);
      const message = readLogMessage(line);
      if (message === null) return;
      const { item, reason } = splitItemWarning(message.message);
      if (message.levelname === "WARNING" && !message.message.startsWith("Remote:")) errors.add(`/${item}`, reason);
      else access.log.line(`borg: ${message.message}`);
    },
  });
  if (ended.cancelled) access.signal.throwIfAborted();
  const failed = errors.all();
  if (ended.exitCode === 0 || (isWarning(ended) && failed.length > 0)) return { failed, failure: null };
  return { failed, failure: borgFailure(ended, { what: "extract", redact: access.log.redact }) };
}
