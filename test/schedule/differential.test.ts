import { expect, test } from "vitest";
import { compareWithSystemd } from "./compare.ts";
import { systemdAnalyzeIsHere } from "./systemd.ts";

// `npm run schedule -- --seed N --count M` asks as much as you like; these are 2,000 of the grammar and more that are
// damaged.
const COUNT = 3000;

test.skipIf(!systemdAnalyzeIsHere)("systemd accepts, prints and plans as we do", async () => {
  const { asked, accepted, instants, explained, differences } = await compareWithSystemd(COUNT, 1);
  expect(differences).toEqual([]);
  expect(Object.values(explained).flat().length).toBeLessThan(COUNT / 300);
  expect(asked).toBe(COUNT);
  expect(accepted).toBeGreaterThan(COUNT / 2);
  expect(instants).toBeGreaterThan(COUNT * 2);
});
