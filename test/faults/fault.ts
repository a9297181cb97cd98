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

/**
 * Plays a fault.
 * @param input.seed the same seed plays the same rounds, as far as processes let it
 * @param input.untilMs wall clock after which no new round begins
 */
export async function play(
  fault: Fault,
  input: { seed: number; rounds: number; untilMs?: number; log: (line: string) => void },
): Promise<Tally> {
  const begun = performance.now();
  const end = input.untilMs ?? Number.POSITIVE_INFINITY;
  let sum: Found = NOTHING;
  let made = 0;
  const rounds = await fault.start(input.log);
  try {
    for (; made < input.rounds && Date.now() < end; made++) {
      const one = await rounds
        .round(diceOf(input.seed + made))
        .catch((error: unknown) =>
          found({ lied: 1, said: [error instanceof Error ? (error.stack ?? error.message) : String(error)] }),
        );
      const said = one.said.map((line) => `round ${made} (--seed ${input.seed + made} --rounds 1): ${line}`);
      said.forEach(input.log);
      sum = {
        lost: sum.lost + one.lost,
        doubled: sum.doubled + one.doubled,
        lied: sum.lied + one.lied,
        said: [...sum.said, ...said],
      };
    }
  } finally {
    await rounds.end();
  }
  const seconds = Math.round((performance.now() - begun) / 1000);
  return { ...sum, name: fault.name, seed: input.seed, rounds: made, seconds };
}
