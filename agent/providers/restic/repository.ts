import * as z from "zod";
import { boundedText } from "../../system/process/lines.ts";
import { RunError, runError } from "../../run-error.ts";
import { ensureRepository, timeoutError } from "../ensure-repository.ts";
import type { ResticRunner } from "./command.ts";
import { resticFailure, isRepositoryAbsent } from "./failures.ts";

const Config = z.object({ id: z.string().regex(/^[0-9a-f]{64}$/) });

const PARTS = ["config", "data", "index", "keys", "locks", "snapshots"];

/** See ensureRepository. */
export async function ensureResticRepository(
  runner: ResticRunner,
  { mayCreate }: { mayCreate: boolean },
): Promise<string> {
  return await ensureRepository(runner.access, {
    mayCreate,
    readId: () => readId(runner),
    create: () => create(runner),
    isPart: (name) => PARTS.includes(name),
  });
}

async function readId(runner: ResticRunner): Promise<string | null> {
  const { restic, access } = runner;
  const answer = boundedText();
  const ended = await runner.call({
    args: ["cat", "config", "--no-lock"],
    timeLimitMs: access.timeouts.openMs,
    onStdout: answer.push,
  });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode === 0) return idOf(answer.text());
  if (isRepositoryAbsent(restic, ended)) return null;
  const failure = resticFailure(restic, ended, { what: "cat config", redact: access.log.redact });
  throw ended.timedOut ? timeoutError(access, failure.message) : new RunError(failure);
}

function idOf(text: string): string {
  try {
    return Config.parse(JSON.parse(text)).id;
  } catch {
    throw runError("engine.failed", "restic cat config: its answer can't be read");
  }
}

async function create(runner: ResticRunner): Promise<void> {
  const { restic, access } = runner;
  const ended = await runner.call({ args: ["init"], timeLimitMs: access.timeouts.openMs });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode !== 0)
    throw new RunError(resticFailure(restic, ended, { what: "init", redact: access.log.redact }));
}
