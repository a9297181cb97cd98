import { boundedText } from "../../system/process/lines.ts";
import { RunError, runError } from "../../run-error.ts";
import type { BorgRunner } from "./command.ts";
import { borgFailure, isRepositoryAbsent } from "./failures.ts";
import { Listing } from "./snapshots.ts";
import { ensureRepository, timeoutError } from "../ensure-repository.ts";

const PARTS = /^(config|data|README|nonce|(hints|index|integrity)\.\d+)$/;

/** See ensureRepository. */
export async function ensureBorgRepository(runner: BorgRunner, { mayCreate }: { mayCreate: boolean }): Promise<string> {
  return await ensureRepository(runner.access, {
    mayCreate,
    readId: () => readId(runner),
    create: () => create(runner),
    isPart: (name) => PARTS.test(name),
  });
}

/** Also tests the passphrase: the list of archives is encrypted. */
async function readId(runner: BorgRunner): Promise<string | null> {
  const { access } = runner;
  const answer = boundedText();
  const ended = await runner.call({
    args: ["list", "--json", "--log-json", "--bypass-lock", "--last", "1"],
    timeLimitMs: access.timeouts.openMs,
    onStdout: answer.push,
  });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode === 0) return idOf(answer.text());
  if (isRepositoryAbsent(ended)) return null;
  const failure = borgFailure(ended, { what: "list", redact: access.log.redact });
  throw ended.timedOut ? timeoutError(access, failure.message) : new RunError(failure);
}

function idOf(text: string): string {
  try {
    return Listing.parse(JSON.parse(text)).repository.id;
  } catch {
    throw runError("engine.failed", "borg list: its answer can't be read");
  }
}

/** The key is stored in the repository, encrypted with the passphrase: restoring elsewhere takes nothing else. */
async function create(runner: BorgRunner): Promise<void> {
  const { access } = runner;
  const ended = await runner.call({
    args: ["init", "--log-json", "--encryption", "repokey-blake2"],
    timeLimitMs: access.timeouts.openMs,
  });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode !== 0) throw new RunError(borgFailure(ended, { what: "init", redact: access.log.redact }));
}
