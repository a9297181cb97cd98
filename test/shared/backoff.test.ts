import { expect, test } from "vitest";
import { createBackoff, PLUS_MINUS_TENTH, withJitter } from "../../shared/backoff.ts";

const waits = (random: () => number) => createBackoff({ firstMs: 1_000, longestMs: 60_000, random });

test("each wait is twice the one before, up to the longest, and after a reset the first again", () => {
  const backoff = waits(() => 1);
  expect(Array.from({ length: 8 }, () => backoff.next())).toEqual([
    1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000,
  ]);
  backoff.reset();
  expect([backoff.next(), backoff.next()]).toEqual([1_000, 2_000]);
});

test("the longest wait can be had at once, and the next one is what it would have been", () => {
  const backoff = waits(() => 1);
  expect([backoff.next(), backoff.longest(), backoff.next()]).toEqual([1_000, 60_000, 2_000]);
});

test("jitter takes off up to half, or what it is told to", () => {
  expect([waits(() => 0).next(), waits(() => 0.5).next(), waits(() => 0).longest()]).toEqual([500, 750, 30_000]);
  const around = createBackoff({ firstMs: 10, longestMs: 250, random: () => 0, jitter: { least: 0.5, most: 1.5 } });
  expect([around.next(), around.next()]).toEqual([5, 10]);
  expect([0, 0.5, 1].map((chance) => withJitter(1_000, () => chance, PLUS_MINUS_TENTH))).toEqual([900, 1_000, 1_100]);
});
