import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../../../shared/error-message.ts";
import { readTextIfExists } from "../../../shared/node/files.ts";
import { resultOf } from "../../../shared/result.ts";
import type { Paths } from "../../config.ts";
import type { RunOutcome, RunUnit } from "../../run/deps.ts";
import { failureLines, outcomeLine, unitStatusOf } from "../../run/outcome-lines.ts";
import { runFailure } from "../../run-error.ts";
import { memoryKills, moveToCgroups, unitCgroups } from "../../system/cgroups.ts";
import { isAlive, type ProcessRef } from "../../system/process/process-ref.ts";
import { askSystemctl, isUnderSystemd } from "../../systemctl.ts";
import { type HandOver, openHandOver } from "./hand-over.ts";
import { canBeHandedOver } from "./unit-file.ts";

interface UnitDeps {
  readonly paths: Paths;
  readonly log: (line: string) => void;
}

interface Place {
  readonly unit?: RunUnit;
  /** Aborted when the run is cancelled, or its unit stopped. */
  readonly signal: AbortSignal;
}

/** Runs one backup of a binding in the binding's unit, or where it always ran. Returns what `work` returns. */
export type InUnit = (
  input: { readonly binding: string; readonly signal: AbortSignal },
  work: (place: Place) => Promise<RunOutcome>,
) => Promise<RunOutcome>;

/** A unit may wait for others (`After=`): a backup that has waited this long does not need its unit. */
const ATTACHED_WITHIN_MS = 3_600_000;
const ATTACHED_EVERY_MS = 100;
const LOOK_EVERY_MS = 500;
const ASK_WITHIN_MS = 30_000;

/**
 * Backups of this host in their units, where systemd runs it. What can't be in its unit runs without it: a backup never
 * depends on one.
 */
export async function openBackupUnits(deps: UnitDeps): Promise<InUnit> {
  if (!isUnderSystemd(deps.paths)) return (input, work) => work({ signal: input.signal });
  // An agent that was killed has left them, and nobody reads them any more.
  await rm(deps.paths.handOverDir, { recursive: true, force: true }).catch(() => undefined);
  return async ({ binding, signal }, work) => {
    if (signal.aborted) return await work({ signal });
    const unit = resultOf(binding).backupService;
    const handed = await handOver(deps, { binding, unit, signal }).catch((error: unknown) => messageOf(error));
    if (typeof handed === "string") {
      if (!signal.aborted) deps.log(`the backup of "${binding}" runs outside of ${unit}: ${handed}`);
      return await work({ signal });
    }
    return await workIn(deps, { ...handed, binding, unit, signal }, work);
  };
}

interface Handed {
  readonly handOver: HandOver;
  readonly script: ProcessRef;
}

interface Wanted {
  readonly binding: string;
  readonly unit: string;
  readonly signal: AbortSignal;
}

/** @returns why not, as text */
async function handOver({ paths }: UnitDeps, { binding, unit, signal }: Wanted): Promise<Handed | string> {
  const text = await readTextIfExists(paths.backupUnit);
  if (text === null || !canBeHandedOver(text, paths)) return `${paths.backupUnit} is not the agent's own`;
  const opened = await openHandOver(paths, binding);
  try {
    const state = async (): Promise<string> => {
      const asked = ["show", "--value", "--property=ActiveState", unit];
      return (await askSystemctl(paths, asked, { timeLimitMs: ASK_WITHIN_MS })).lines.join("");
    };
    // Somebody started it by hand: the same `start` waits for that backup to end, and only the next one is ours.
    const isAtWork = (await state()).endsWith("activating");
    for (let attempts = isAtWork ? 2 : 1; ; attempts--) {
      const { script, trouble, isWaiting } = await startUnit(paths, { unit, signal, opened });
      if (script !== null) return { handOver: opened, script };
      // Still queued, it would begin a second backup later.
      const isQueued = isWaiting && /^(?:inactive|failed)$/.test(await state());
      if (isQueued) await askSystemctl(paths, ["stop", "--no-block", unit], { timeLimitMs: ASK_WITHIN_MS });
      if (attempts > 1 && !isWaiting) continue;
      // It has come meanwhile: left alone, it would begin a backup by itself.
      const late = await opened.attached();
      if (late !== null) return { handOver: opened, script: late };
      await opened.withdraw();
      return trouble.split("\n", 1)[0] ?? trouble;
    }
  } catch (error) {
    await opened.withdraw();
    throw error;
  }
}

interface Started {
  readonly script: ProcessRef | null;
  readonly trouble: string;
  /** systemd has not said yet what became of the start. */
  readonly isWaiting: boolean;
}

/** Starts the unit, until its script has taken the run over, or systemd says that the unit has ended. */
async function startUnit(
  paths: Paths,
  { unit, signal, opened }: { unit: string; signal: AbortSignal; opened: HandOver },
): Promise<Started> {
  const enough = new AbortController();
  const limits = { timeLimitMs: ATTACHED_WITHIN_MS, signal: AbortSignal.any([signal, enough.signal]) };
  let ended: { trouble: string | null } | null = null;
  const starting = askSystemctl(paths, ["start", unit], limits).then((result) => (ended = result));
  let script: ProcessRef | null = null;
  for (let wait = 5; ended === null && script === null; wait = Math.min(wait * 2, ATTACHED_EVERY_MS)) {
    await Promise.race([delay(wait), starting]);
    script = await opened.attached();
  }
  enough.abort();
  const { trouble } = await starting;
  const isWaiting = script === null && (signal.aborted || trouble === "it did not end in time");
  return { script, isWaiting, trouble: trouble ?? "systemd did not start it; one of its conditions does not hold" };
}

async function workIn(
  deps: UnitDeps,
  { handOver: opened, script, binding, unit, signal }: Handed & Wanted,
  work: (place: Place) => Promise<RunOutcome>,
): Promise<RunOutcome> {
  const stopped = new AbortController();
  const timer = setInterval(() => {
    if (opened.isStopped()) stopped.abort();
    else if (isAlive(script)) return;
    else deps.log(`${unit} has ended before its backup: the backup goes on`);
    clearInterval(timer);
  }, LOOK_EVERY_MS);
  let status = 1;
  try {
    const place = {
      unit: await openUnit(deps, { script, unit, opened }),
      signal: AbortSignal.any([signal, stopped.signal]),
    };
    const outcome = await work(place);
    status = unitStatusOf(outcome);
    opened.write(outcomeLine(`backup of ${binding}`, outcome));
    if (outcome.failure !== null) for (const line of failureLines(outcome.failure)) opened.write(line);
    return outcome;
  } finally {
    clearInterval(timer);
    await opened.end(status).catch((error: unknown) => deps.log(`the end of ${unit}: ${messageOf(error)}`));
  }
}

async function openUnit(
  deps: UnitDeps,
  { script, unit, opened }: { script: ProcessRef; unit: string; opened: HandOver },
): Promise<RunUnit> {
  const cgroups = await unitCgroups(script.pid, unit);
  const before = await memoryKills(cgroups);
  let isSaid = false;
  return {
    log: opened.write,
    async adopt(child) {
      try {
        await moveToCgroups(child.pid, cgroups);
      } catch (error) {
        if (!isSaid) deps.log(`the limits of ${unit} do not hold for its backup: ${messageOf(error)}`);
        isSaid = true;
      }
    },
    async explain(failure) {
      if ((await memoryKills(cgroups)) <= before) return failure;
      return runFailure(
        failure.code,
        `${failure.message}; the kernel ended a program of this run, because ${unit} has reached its memory limit`,
        `Raise MemoryMax of the unit (systemctl edit ${unit}), or find out what takes so much; then run again.`,
      );
    },
  };
}
