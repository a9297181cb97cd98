import { expect, test } from "vitest";
import { compareWithSystemd } from "./compare.ts";
import { systemdAnalyzeIsHere } from "./systemd.ts";

test.skipIf(!systemdAnalyzeIsHere)("systemd accepts, prints and plans as we do", async () => {
  const { asked, accepted, instants, explained, differences } = await compareWithSystemd(150, 1);
  expect(differences).toEqual([]);
  expect(explained.length).toBeLessThan(3);
  expect(asked).toBe(150);
  expect(accepted).toBeGreaterThan(75);
  expect(instants).toBeGreaterThan(400);
});
