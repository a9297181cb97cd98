import { expect, test } from "vitest";
import { playTarget } from "./target.ts";
import { TARGETS } from "./targets.ts";

// What comes from outside may be anything. The long version: npm run fuzz -- --cases 1000000.

const CASES = 20_000;
/** Always the same cases: what `npm test` says today, it says tomorrow. */
const SEED = 4;

test("the shares of all targets add up to the whole", () => {
  expect(TARGETS.reduce((sum, { share }) => sum + share, 0)).toBe(100);
});

test.each(TARGETS)("nothing that is sent to $name breaks it", async (target) => {
  const said: string[] = [];
  const log = (line: string): void => void said.push(line);
  const cases = (CASES * target.share) / 100;
  const tally = await playTarget(target, { seed: SEED, cases, log });
  expect(said).toEqual([]);
  expect(tally.cases).toBe(cases);
});
