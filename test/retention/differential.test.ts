import { expect, it } from "vitest";
import { newestRestic } from "../support/restic.ts";
import { compareRetention } from "./compare.ts";

/** More of it: `npm run retention`. */
it("keeps and removes the same snapshots as restic's own forget, by the same rules", async () => {
  const { decisions, removed, differences } = await compareRetention(newestRestic().path, {
    snapshots: 20,
    policies: 14,
    seed: 7,
  });
  expect(differences).toEqual([]);
  expect(decisions).toBe(20 * 14);
  expect(removed).toBeGreaterThan(60);
});
