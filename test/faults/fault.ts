import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { type Dice, diceOf } from "../support/random.ts";

/** What one round found. Anything but zeros is a broken promise. */
export interface Found {
  /** Facts that were acknowledged, or runs that began, and are nowhere. */
  readonly lost: number;
  /** Facts counted, or notices sent, more than once. */
  readonly doubled: number;
  /** What was said and is not so: an "ok" without a backup, a run that never ended, an engine left behind. */
  readonly lied: number;
  /** What to look at, when something is not zero. */
  readonly said: readonly string[];
}

/** One way of breaking things, repeatable by its seed. */
export interface Fault {
  /** As in `--only NAME`: the thing that breaks, and how: "agent-killed", "disk-full-spool". */
  readonly name: string;
  /** How many rounds `npm run faults` makes when nobody says. */
  readonly rounds: number;
  /** Brings up what all rounds share. Everything it made is gone, and no process left, once `end` has returned. */
  start(log: (line: string) => void): Promise<Rounds>;
}

export interface Rounds {
  round(dice: Dice): Promise<Found>;
  end(): Promise<void>;
}

/** What all rounds of one fault found together. */
export interface Tally extends Found {
  readonly name: string;
  readonly seed: number;
  readonly rounds: number;
  readonly seconds: number;
}

const NOTHING: Found = { lost: 0, doubled: 0, lied: 0, said: [] };

/** Of a round in which nothing but this was found. */
export function found(change: Partial<Found>): Found {
  return { ...NOTHING, ...change };
}

export const lost = (said: string): Found => found({ lost: 1, said: [said] });
export const doubled = (said: string): Found => found({ doubled: 1, said: [said] });
export const lied = (said: string): Found => found({ lied: 1, said: [said] });

export function sum(all: readonly Found[]): Found {
  return all.reduce(
    (one, other) => ({
      lost: one.lost + other.lost,
      doubled: one.doubled + other.doubled,
      lied: one.lied + other.lied,
      said: [...one.said, ...other.said],
    }),
    NOTHING,
  );
}

/** A round that takes longer than this has not ended well. */
const ROUND_LIMIT_MS = 5 * 60_000;

/**
 * Plays a fault.
 * @param input.seed the same seed plays the same rounds, as far as processes let it
 * @param input.untilMs wall clock after which no new round begins
 * @param input.stop no new round begins, and the one that is played is not waited for
 */
export async function play(
  fault: Fault,
  input: { seed: number; rounds: number; untilMs?: number; stop?: AbortSignal; log: (line: string) => void },
): Promise<Tally> {
  const begun = performance.now();
  const { seed, untilMs = Number.POSITIVE_INFINITY, stop = new AbortController().signal, log } = input;
  let all: Found = NOTHING;
  let made = 0;
  const rounds = await fault.start(log).catch(notPlayed);
  if ("lied" in rounds) {
    rounds.said.forEach(log);
    return { ...rounds, name: fault.name, seed, rounds: 0, seconds: 0 };
  }
  try {
    while (made < input.rounds && Date.now() < untilMs && !stop.aborted) {
      const one = await oneRound(rounds, diceOf(seed + made), stop);
      if (one === null) break;
      const said = one.said.map((line) => `round ${made} (--seed ${seed + made} --rounds 1): ${line}`);
      said.forEach(log);
      all = sum([all, { ...one, said }]);
      made++;
      if (made % SAYS_EVERY === 0) log(`${made} of ${input.rounds} rounds`);
    }
  } finally {
    await rounds.end();
  }
  const seconds = Math.round((performance.now() - begun) / 1000);
  return { ...all, name: fault.name, seed, rounds: made, seconds };
}

const SAYS_EVERY = 20;

/** @returns null when it was stopped before its end */
async function oneRound(rounds: Rounds, dice: Dice, stop: AbortSignal): Promise<Found | null> {
  const over = new AbortController();
  const stopped = once(stop, "abort", { signal: over.signal }).then(() => null);
  const late = delay(ROUND_LIMIT_MS, lied(`a round took longer than ${ROUND_LIMIT_MS / 60_000} minutes`), {
    signal: over.signal,
  });
  const played = rounds.round(dice).catch(notPlayed);
  try {
    return await Promise.race([played, stopped, late]);
  } finally {
    over.abort();
    await Promise.allSettled([stopped, late]);
  }
}

/** A promise that could not be shown is one that was not kept. */
function notPlayed(error: unknown): Found {
  return lied(error instanceof Error ? (error.stack ?? error.message) : String(error));
}
