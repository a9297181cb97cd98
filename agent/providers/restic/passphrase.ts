import * as z from "zod";
import { parseJson } from "../../../shared/json.ts";
import { RunError, runError } from "../../run-error.ts";
import { boundedText } from "../../system/process/lines.ts";
import type { ProcessResult } from "../../system/process/process.ts";
import { prepareRestic, type ResticRunner } from "./command.ts";
import { resticFailure } from "./failures.ts";
import { lockArgs, removeOwnLock, retryWhileLocked } from "./locks.ts";

const Keys = z.array(z.object({ current: z.boolean(), id: z.string().regex(/^[0-9a-f]{8,64}$/) }));

/** See OpenRepository.addPassphrase. restic keeps a key per passphrase; each opens the repository. */
export async function addPassphrase(runner: ResticRunner, passphrase: string): Promise<void> {
  await change(runner, { args: ["key", "add", "--new-password-file", "/dev/fd/4"], files: [`${passphrase}\n`] });
}

/** See OpenRepository.dropPassphrase. */
export async function dropPassphrase(runner: ResticRunner, passphrase: string): Promise<void> {
  const { restic, access } = runner;
  const old = await prepareRestic(restic, { ...access, secrets: { ...access.secrets, passphrase } });
  const answer = boundedText();
  const ended = await old.call({ args: ["key", "list", "--json", "--no-lock"], onStdout: answer.push });
  if (ended.exitCode !== 0) {
    const failure = failureOf(runner, ended);
    // It opens nothing any more: dropped before.
    if (failure.code === "repository.wrong_passphrase") return;
    throw new RunError(failure);
  }
  const keys = Keys.safeParse(parseJson(answer.text()));
  const id = keys.data?.find(({ current }) => current)?.id;
  if (id === undefined) throw runError("engine.failed", "restic key list: its answer can't be read");
  await change(runner, { args: ["key", "remove", id] });
}

async function change(runner: ResticRunner, call: { args: string[]; files?: string[] }): Promise<void> {
  const ended = await retryWhileLocked(runner, () =>
    runner.call({ ...call, args: [...call.args, ...lockArgs(runner)] }),
  );
  await removeOwnLock(runner, ended);
  if (ended.cancelled) runner.access.signal.throwIfAborted();
  if (ended.exitCode !== 0) throw new RunError(failureOf(runner, ended));
}

function failureOf({ restic, access }: ResticRunner, ended: ProcessResult) {
  return resticFailure(restic, ended, { what: "key", redact: access.log.redact });
}
