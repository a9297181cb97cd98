import { type Dice, diceOf } from "../support/random.ts";

/** Something that takes what others wrote, and must stand whatever that is. */
export interface Target {
  /** As in `--only NAME`. */
  readonly name: string;
  /** How many of every hundred cases it gets. */
  readonly share: number;
  /** A round begins with a fresh state, so that nothing grows without end and a round is repeated by its seed. */
  readonly casesPerRound: number;
  begin(seed: number): Promise<Round>;
}

export interface Round {
  /** Plays one case. @throws when a promise is broken, saying which */
  play(dice: Dice): Promise<void> | void;
  /** Looks at what all cases left behind, and clears up. @throws when a promise is broken */
  end(): Promise<void>;
}

/** One broken promise, and how to see it again. */
export interface Broken {
  readonly target: string;
  readonly case: number;
  /** `npm run fuzz -- --only TARGET --seed SEED --cases CASES` */
  readonly seed: number;
  readonly cases: number;
  readonly said: string;
}

export interface Tally {
  readonly name: string;
  readonly cases: number;
  readonly seconds: number;
  readonly broken: readonly Broken[];
  /** The longest that one case kept the processor. */
  readonly slowestMs: number;
}

/** No case is worth more of the processor than this: whoever sends it could stop the program with it. */
const MOST_CPU_MS = 3000;

/**
 * Plays so many cases of a target, round by round; the seed of a round is that of the one before, plus one.
 * @param input.isOver asked before each case: once it is, nothing more is played, and all is cleared up
 */
export async function playTarget(
  target: Target,
  input: { seed: number; cases: number; isOver?: () => boolean; log: (line: string) => void },
): Promise<Tally> {
  const begun = performance.now();
  const isOver = input.isOver ?? (() => false);
  const strays = catchStrays();
  const broken: Broken[] = [];
  let cases = 0;
  let slowestMs = 0;
  try {
    for (let seed = input.seed; cases < input.cases && !isOver(); seed++) {
      const wanted = Math.min(target.casesPerRound, input.cases - cases);
      const report = (index: number, error: unknown): void => {
        const said = errorText(error);
        broken.push({ target: target.name, case: index, seed, cases: wanted, said });
        input.log(`case ${index} of --only ${target.name} --seed ${seed} --cases ${wanted}: ${said}`);
      };
      const round = await target.begin(seed);
      let index = 0;
      for (; index < wanted && !isOver(); index++) {
        const before = process.cpuUsage();
        try {
          await round.play(diceOf(seed * 1_000_003 + index));
        } catch (error) {
          report(index, error);
        }
        const { user, system } = process.cpuUsage(before);
        const spentMs = (user + system) / 1000;
        slowestMs = Math.max(slowestMs, spentMs);
        if (spentMs > MOST_CPU_MS) report(index, new Error(`took ${Math.round(spentMs)} ms of the processor`));
        for (const stray of strays.taken()) report(index, stray);
      }
      await round.end().catch((error: unknown) => report(wanted, error));
      // What was thrown where nobody waits is told of a turn later.
      await new Promise((resolve) => setImmediate(resolve));
      for (const stray of strays.taken()) report(wanted, stray);
      cases += index;
    }
  } finally {
    strays.end();
  }
  return { name: target.name, cases, seconds: (performance.now() - begun) / 1000, broken, slowestMs };
}

/** What was thrown where nobody catches it: it would have ended the program. And what piles up, as Node tells. */
function catchStrays(): { taken(): Error[]; end(): void } {
  let found: Error[] = [];
  const onStray = (error: unknown): void => void found.push(new Error(`nobody caught this: ${errorText(error)}`));
  const onWarning = (warning: Error): void => {
    if (warning.name === "MaxListenersExceededWarning") found.push(warning);
  };
  process.on("warning", onWarning);
  process.on("uncaughtException", onStray);
  process.on("unhandledRejection", onStray);
  return {
    taken() {
      const taken = found;
      found = [];
      return taken;
    },
    end() {
      process.off("warning", onWarning);
      process.off("uncaughtException", onStray);
      process.off("unhandledRejection", onStray);
    },
  };
}

function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.stack ?? error.message;
  return error.cause === undefined ? own : `${own}\ncaused by ${errorText(error.cause)}`;
}

/** @throws unless it holds. */
export function mustHold(holds: boolean, say: () => string): asserts holds {
  if (!holds) throw new Error(say());
}
