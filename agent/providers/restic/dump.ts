import type { RunFailure } from "../../../shared/failure.ts";
import { HOOK_LADDER } from "../../system/process/kill-ladder.ts";
import type { ProcessResult } from "../../system/process/process.ts";
import { failureOf } from "../../run-error.ts";
import type { BackupResult, DumpInput, LoadInput, LoadResult } from "../provider.ts";
import { type ResticWork, startTimeNow, resolveBackup, storeArgs, storeFailure } from "./backup.ts";
import type { ResticRunner } from "./command.ts";
import { resticFailure } from "./failures.ts";
import { removeOwnLock, retryWhileLocked } from "./locks.ts";
import { BackupSummary, readMessage, readProgress } from "./messages.ts";
import {
  dumpCommand,
  loadPipeCommand,
  dumpPipeCommand,
  withDumpTermination,
  loadResult,
  openLoadOutput,
  engineOutputOnly,
  requireBash,
  openDumpOutput,
} from "../dump-pipe.ts";

/** See OpenRepository.dump. Since 0.17.1, restic starts the script itself; before, it reads a pipe until its end. */
export async function dump(work: ResticWork, input: DumpInput): Promise<BackupResult> {
  const { runner } = work;
  const { restic, access } = runner;
  const bash = await requireBash();
  const output = openDumpOutput(access.log);
  let summary: BackupSummary | null = null;
  const begun = startTimeNow();
  // 0.17.0 has the option too, but may panic when the command fails.
  const startsIt = restic.isAtLeast("0.17.1");
  const source = startsIt ? ["--stdin-from-command", "--", ...dumpCommand(bash, access)] : ["--stdin"];
  const call = (): Promise<ProcessResult> =>
    runner.call({
      args: [...storeArgs(runner), `--stdin-filename=${input.name}`, ...source],
      files: [input.script],
      hasStatusFile: true,
      ...(startsIt ? {} : { wrap: (engine) => dumpPipeCommand(bash, access, engine) }),
      onStdout(line) {
        const progress = readProgress(line, access.clock.now());
        if (progress !== null) return input.onProgress(progress);
        summary = readMessage(BackupSummary, line) ?? summary;
      },
      onStderr(line) {
        if (!output.add(line) && !line.startsWith("{")) access.log.line(`restic: ${line}`);
      },
    });
  const ended = engineOutputOnly(await withDumpTermination(access, () => retryWhileLocked(runner, call)));
  await removeOwnLock(runner, ended);
  output.readStatus(ended.statusText);
  const fault = output.fault();
  const failure = ended.cancelled ? failureOf(access.signal.reason) : (output.failure() ?? storeFailure(runner, ended));
  const paths = [`/${input.name}`];
  return await resolveBackup(work, { ended, summary, begun, paths, warnings: [], failure, faultOf: () => fault });
}

/** See OpenRepository.load. */
export async function load(runner: ResticRunner, input: LoadInput): Promise<LoadResult> {
  const { restic, access } = runner;
  const bash = await requireBash();
  const output = openLoadOutput();
  const ended = await runner.call({
    args: ["dump", "--no-lock", input.snapshot, `/${input.name}`],
    files: [input.script],
    wrap: (engine) => loadPipeCommand(bash, access, { user: input.user, engine }),
    ladder: HOOK_LADDER,
    onStdout(line) {
      output.addScriptLine(line);
      access.log.line(`  ${line}`);
    },
    onStderr(line) {
      if (!output.add(line)) access.log.line(`restic: ${line}`);
    },
  });
  if (ended.cancelled) return { failure: failureOf(access.signal.reason), warnings: [] };
  const { redact } = access.log;
  const engineFailure = (): RunFailure =>
    resticFailure(restic, { ...engineOutputOnly(ended), exitCode: 1, signal: null }, { what: "dump", redact });
  return loadResult(ended, output, { engineFailure, redact });
}
