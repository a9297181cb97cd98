import { expect, it } from "vitest";
import { comparePatterns } from "./compare.ts";
import { everyTool } from "./tools.ts";

/** More of it, and with other seeds: `npm run patterns`. */
it("500 random exclude patterns exclude the same odd files with restic, with borg and in our matcher", async () => {
  const compared = await comparePatterns(everyTool(), { count: 500, seed: 1 });
  expect(compared.differences).toEqual([]);
  expect(compared.patterns).toBe(500);
  expect(compared.conclusive).toBeGreaterThan(250);
}, 300_000);
