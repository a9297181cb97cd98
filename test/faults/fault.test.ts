import { expect, test } from "vitest";
import type { Dice } from "../support/random.ts";
import { doubled, type Fault, type Found, found, lost, play } from "./fault.ts";

/** A fault that breaks nothing, so that the frame is all there is. */
function pretended(round: (dice: Dice) => Promise<Found>): Fault & { ends: number } {
  const fault = { name: "pretended", rounds: 3, ends: 0, start: async () => ({ round, end }) };
  const end = async (): Promise<void> => void fault.ends++;
  return fault;
}

test("the results of the rounds are summed up, with the seed that repeats a round", async () => {
  const thrown: number[] = [];
  const fault = pretended(async (dice) => {
    thrown.push(dice.below(1000));
    return thrown.length === 2 ? lost("a run") : thrown.length === 3 ? doubled("a notice") : found({});
  });
  const log: string[] = [];
  const tally = await play(fault, { seed: 7, rounds: 3, log: (line) => log.push(line) });
  expect(tally).toMatchObject({ rounds: 3, lost: 1, doubled: 1, lied: 0, seed: 7 });
  expect(log).toEqual(["round 1 (--seed 8 --rounds 1): a run", "round 2 (--seed 9 --rounds 1): a notice"]);
  const [, second] = thrown;
  thrown.length = 0;
  await play(fault, { seed: 8, rounds: 1, log: () => undefined });
  expect(thrown).toEqual([second]);
  expect(fault.ends).toBe(2);
});

test("a round that could not run, and a fault that could not be injected, do not count as passed", async () => {
  const broken = pretended(() => Promise.reject(new Error("no disk")));
  expect(await play(broken, { seed: 1, rounds: 2, log: () => undefined })).toMatchObject({ rounds: 2, lied: 2 });
  expect(broken.ends).toBe(1);
  const unbegun = { ...broken, start: () => Promise.reject(new Error("no port")) };
  expect(await play(unbegun, { seed: 1, rounds: 2, log: () => undefined })).toMatchObject({ rounds: 0, lied: 1 });
});

test("after its time no round starts, and a stop does not wait for the running one", async () => {
  const idle = pretended(async () => found({}));
  const late = { seed: 1, rounds: 2, untilMs: Date.now() - 1, log: () => undefined };
  expect(await play(idle, late)).toMatchObject({ rounds: 0, lied: 0 });
  const stop = new AbortController();
  const endless = pretended(() => {
    stop.abort();
    return new Promise(() => undefined);
  });
  const stopped = { seed: 1, rounds: 2, stop: stop.signal, log: () => undefined };
  expect(await play(endless, stopped)).toMatchObject({ rounds: 0, lied: 0 });
  expect(endless.ends).toBe(1);
});
