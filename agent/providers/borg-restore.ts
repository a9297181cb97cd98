import { dirname } from "node:path";
import { runError, runFailure } from "../runner-failure.ts";
import type { BorgRunner } from "./borg-command.ts";
import { canBeLookedUp, eachItem } from "./borg-contents.ts";
import { borgFailure, isWarning } from "./borg-failures.ts";
import { itemOf, readProgress, wordsOf } from "./borg-messages.ts";
import { nameOf } from "./borg-snapshots.ts";
import { type ItemWarnings, itemWarnings } from "./item-warnings.ts";
import { isThere, matching } from "./snapshot-paths.ts";
import type { RestoreInput, RestoreResult } from "./provider.ts";

/** See OpenRepository.restore. */
export async function restore(runner: BorgRunner, input: RestoreInput): Promise<RestoreResult> {
  if (input.overwrite !== "always" || input.delete || input.dryRun)
    throw new Error("borg: restore options are not there yet");
  const { access } = runner;
  const name = await nameOf(runner, input.snapshot);
  const place = input.target ?? "/";
  const wanted = await measure(runner, { name, input });
  const errors = itemWarnings();
  const failure = await extract(runner, { name, input, place, errors, above: wanted.above });
  if (failure === null) await noteMissing(runner, { name, input, place, errors });
  const warnings = errors.warnings().map(access.log.redact);
  for (const warning of warnings) access.log.line(`not restored: ${warning}`);
  const failed = errors.count();
  const stats = { filesRestored: Math.max(0, wanted.files - failed), bytesRestored: wanted.bytes };
  if (failed === 0 || access.signal.aborted) return { warnings, failure, stats, items: [] };
  const incomplete = runFailure("restore.incomplete", `${failed} of ${wanted.files} files were not restored`);
  return { warnings, failure: failure ?? incomplete, stats, items: [] };
}

interface Extraction {
  readonly name: string;
  readonly input: RestoreInput;
}

/** Counts what there is to restore; a path that the snapshot does not hold is found out before anything is written. */
async function measure(
  runner: BorgRunner,
  { name, input }: Extraction,
): Promise<{ files: number; bytes: number; above: string[] }> {
  const { snapshot, include, target } = input;
  const unseen = new Set(include);
  const parents = new Set(include.flatMap(parentsOf));
  const above: string[] = [];
  let [files, bytes] = [0, 0];
  await eachItem(runner, name, ({ type, path, size }) => {
    if (parents.has(path) && type === "d" && !isThere(`${target ?? ""}${path}`)) above.push(path);
    if (include.length > 0) {
      const found = matching(path, include);
      if (found === undefined) return;
      unseen.delete(found);
    }
    if (type === "d") return;
    files++;
    bytes += size;
  });
  const [absent] = unseen;
  if (absent === undefined) return { files, bytes, above };
  throw runError(
    "restore.incomplete",
    `snapshot ${snapshot.slice(0, 8)} does not hold ${absent}; nothing was restored`,
    `Ask for paths as they are in the snapshot: \`holdfast-agent exec BINDING -- list ::${name}\` lists them.`,
  );
}

function parentsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [parent, ...parentsOf(parent)];
}

/** Borg extracts below the directory it works in. @param above directories that are made as the snapshot has them */
async function extract(
  runner: BorgRunner,
  { name, input, place, errors, above }: Extraction & { place: string; errors: ItemWarnings; above: string[] },
): Promise<RestoreResult["failure"]> {
  const { access } = runner;
  let unmatched = 0;
  const ended = await runner.call({
    args: [
      ...["extract", "--log-json", "--progress", "--bypass-lock", "--numeric-ids", `::${name}`],
      ...above.map((path) => `pf:${path.slice(1)}`),
      ...input.include.filter((path) => path !== "/").map((path) => `pp:${path.slice(1)}`),
    ],
    cwd: place,
    onStderr(line) {
      const progress = readProgress(line, access.clock.now());
      if (progress !== null) return input.onProgress(progress);
      const words = wordsOf(line);
      if (words === null) return;
      // Borg 1.2 says so of directories too that it has restored; what is not there is looked for afterwards.
      if (words.message.startsWith("Include pattern ")) return void unmatched++;
      const { item, reason } = itemOf(words.message);
      if (words.levelname === "WARNING" && !words.message.startsWith("Remote:")) errors.add(`/${item}`, reason);
      else access.log.line(`borg: ${words.message}`);
    },
  });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode === 0 || (isWarning(ended) && errors.count() + unmatched > 0)) return null;
  return borgFailure(ended, { what: "extract", redact: access.log.redact });
}

async function noteMissing(
  runner: BorgRunner,
  { name, input, place, errors }: Extraction & { place: string; errors: ItemWarnings },
): Promise<void> {
  const root = place === "/" ? "" : place;
  let unknown = 0;
  await eachItem(runner, name, (item) => {
    if (input.include.length > 0 && matching(item.path, input.include) === undefined) return;
    if (!canBeLookedUp(item)) unknown++;
    else if (!isThere(root + item.path)) errors.add(item.path, "is not there after the restore");
  });
  if (unknown > 0)
    runner.access.log.line(
      `${unknown} names hold bytes that borg does not show: whether they are there was not checked`,
    );
}
