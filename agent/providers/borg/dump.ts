import { boundedText } from "../../system/process/lines.ts";
import type { RunFailure } from "../../../shared/failure.ts";
import { HOOK_LADDER } from "../../system/process/kill-ladder.ts";
import { failureOf } from "../../run-error.ts";
import { type BorgWork, createArgs, resolveBackup, storeFailure, transactionOf } from "./backup.ts";
import type { BorgRunner } from "./command.ts";
import { borgFailure } from "./failures.ts";
import { readProgress, readLogMessage } from "./messages.ts";
import { archiveName, commentArgs, nameOf } from "./snapshots.ts";
import type { BackupResult, DumpInput, LoadInput, LoadResult } from "../provider.ts";
import {
  dumpCommand,
  loadPipeCommand,
  withDumpTermination,
  loadResult,
  openLoadOutput,
  engineOutputOnly,
  requireBash,
  openDumpOutput,
} from "../dump-pipe.ts";

/** See OpenRepository.dump. */
export async function dump(work: BorgWork, input: DumpInput): Promise<BackupResult> {
  const { runner } = work;
  const { access } = runner;
  const bash = await requireBash();
  const output = openDumpOutput(access.log);
  const name = archiveName(access, access.clock.now());
  const answer = boundedText();
  const transaction = await transactionOf(runner);
  const call = runner.call({
    args: [
      "create",
      ...createArgs(runner),
      ...commentArgs([`/${input.name}`]),
      `--stdin-name=${input.name}`,
      "--content-from-command",
      `::${name}`,
      "--",
      ...dumpCommand(bash, access),
    ],
    files: [input.script],
    hasStatusFile: true,
    onStdout: answer.push,
    onStderr(line) {
      if (output.add(line)) return;
      const progress = readProgress(line, access.clock.now());
      if (progress !== null) return input.onProgress(progress);
      const message = readLogMessage(line);
      if (message !== null) access.log.line(`borg: ${message.message}`);
    },
  });
  const ended = engineOutputOnly(await withDumpTermination(access, () => call));
  output.readStatus(ended.statusText);
  const fault = output.fault();
  const failure = ended.cancelled ? failureOf(access.signal.reason) : (output.failure() ?? storeFailure(runner, ended));
  const made = { name, text: answer.text(), paths: [`/${input.name}`], transaction };
  return await resolveBackup(work, { ...made, ended, warnings: [], failure, faultOf: () => fault });
}

/** See OpenRepository.load. */
export async function load(runner: BorgRunner, input: LoadInput): Promise<LoadResult> {
  const { access } = runner;
  const bash = await requireBash();
  const output = openLoadOutput();
  const name = await nameOf(runner, input.snapshot);
  const ended = await runner.call({
    args: ["extract", "--log-json", "--bypass-lock", "--stdout", `::${name}`, `pp:${input.name}`],
    files: [input.script],
    wrap: (engine) => loadPipeCommand(bash, access, { user: input.user, engine }),
    ladder: HOOK_LADDER,
    onStdout(line) {
      output.addScriptLine(line);
      access.log.line(`  ${line}`);
    },
    onStderr(line) {
      if (output.add(line)) return;
      const message = readLogMessage(line);
      if (message !== null) access.log.line(`borg: ${message.message}`);
    },
  });
  if (ended.cancelled) return { failure: failureOf(access.signal.reason), warnings: [] };
  const { redact } = access.log;
  const engineFailure = (): RunFailure =>
    borgFailure({ ...engineOutputOnly(ended), exitCode: 2, signal: null }, { what: "extract", redact });
  return loadResult(ended, output, { engineFailure, redact });
}
