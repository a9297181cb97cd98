import { wholeText } from "../../system/process/lines.ts";
import type { RunFailure } from "../../../shared/failure.ts";
import { HOOK_LADDER } from "../../system/process/kill-ladder.ts";
import { failureOf } from "../../run-error.ts";
import { createArgs, settle, storeFailure } from "./backup.ts";
import type { BorgRunner } from "./command.ts";
import { borgFailure } from "./failures.ts";
import { readProgress, wordsOf } from "./messages.ts";
import { archiveName, commentArgs, nameOf } from "./snapshots.ts";
import type { BackupResult, DumpInput, LoadInput } from "../provider.ts";
import { dumpedBy, fedBy, stoppably, loadFailure, loadWords, ownWords, requireBash, scriptWords } from "../streams.ts";

/** See OpenRepository.dump. */
export async function dump(runner: BorgRunner, input: DumpInput): Promise<BackupResult> {
  const { access } = runner;
  const bash = await requireBash();
  const words = scriptWords(access.log);
  const name = archiveName(access, access.clock.now());
  const answer = wholeText();
  const call = runner.call({
    args: [
      "create",
      ...createArgs(runner),
      ...commentArgs([`/${input.name}`]),
      "--stdin-name",
      input.name,
      "--content-from-command",
      `::${name}`,
      "--",
      ...dumpedBy(bash, access),
    ],
    files: [input.script],
    hasNote: true,
    onStdout: answer.push,
    onStderr(line) {
      if (words.add(line)) return;
      const progress = readProgress(line, access.clock.now());
      if (progress !== null) return input.onProgress(progress);
      const said = wordsOf(line);
      if (said !== null) access.log.line(`borg: ${said.message}`);
    },
  });
  const ended = ownWords(await stoppably(access, () => call));
  words.settle(ended.note);
  const fault = words.fault();
  const failure = ended.cancelled ? failureOf(access.signal.reason) : (words.failure() ?? storeFailure(runner, ended));
  return await settle(runner, { name, text: answer.text(), warnings: [], failure, faultOf: () => fault });
}

/** See OpenRepository.load. */
export async function load(runner: BorgRunner, input: LoadInput): Promise<RunFailure | null> {
  const { access } = runner;
  const bash = await requireBash();
  const words = loadWords();
  const name = await nameOf(runner, input.snapshot);
  const ended = await runner.call({
    args: ["extract", "--log-json", "--bypass-lock", "--stdout", `::${name}`, `pp:${input.name}`],
    files: [input.script],
    within: (engine) => fedBy(bash, access, { user: input.user, engine }),
    ladder: HOOK_LADDER,
    onStdout(line) {
      words.said(line);
      access.log.line(`  ${line}`);
    },
    onStderr(line) {
      if (words.add(line)) return;
      const said = wordsOf(line);
      if (said !== null) access.log.line(`borg: ${said.message}`);
    },
  });
  if (ended.cancelled) return failureOf(access.signal.reason);
  const { redact } = access.log;
  const engineFailure = (): RunFailure =>
    borgFailure({ ...ownWords(ended), exitCode: 2, signal: null }, { what: "extract", redact });
  return loadFailure(ended, words, { engineFailure, redact });
}
