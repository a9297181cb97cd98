import { describe, expect, test } from "vitest";
import { randomizedDelayMs } from "../../shared/schedule.ts";

const SPAN = 300_000;

describe("the delay of a binding", () => {
  test("is the same every time, and within the span", () => {
    for (const id of ["0198c5f0-7b3a-7c00-8000-000000000001", "", "täglich"]) {
      const delay = randomizedDelayMs(id, SPAN);
      expect(randomizedDelayMs(id, SPAN)).toBe(delay);
      expect(delay).toBeGreaterThanOrEqual(0);
      expect(delay).toBeLessThan(SPAN);
    }
    expect(randomizedDelayMs("any", 0)).toBe(0);
    expect(randomizedDelayMs("any", 1)).toBe(0);
  });

  test("grows with the span", () => {
    const id = "0198c5f0-7b3a-7c00-8000-000000000001";
    expect(randomizedDelayMs(id, 2 * SPAN)).toBeCloseTo(2 * randomizedDelayMs(id, SPAN), -1);
  });

  test("is spread evenly over ids that differ in their last digits only", () => {
    const parts = Array<number>(20).fill(0);
    const ids = 10_000;
    for (let n = 0; n < ids; n++) {
      const id = `0198c5f0-7b3a-7c00-8000-${n.toString(16).padStart(12, "0")}`;
      const part = Math.floor((randomizedDelayMs(id, SPAN) / SPAN) * parts.length);
      parts[part] = (parts[part] ?? 0) + 1;
    }
    // chi-square with 19 degrees of freedom: above 43.8 once in a thousand for chance itself
    const expected = ids / parts.length;
    expect(parts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)).toBeLessThan(43.8);
  });
});
