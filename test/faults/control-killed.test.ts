import { expect, test } from "vitest";
import { controlKilledUnder } from "./control-killed.ts";
import { play } from "./fault.ts";

test("a control plane killed under load loses nothing it acknowledged, and notifies once per event", async () => {
  const said: string[] = [];
  const tally = await play(controlKilledUnder(20), { seed: 3, rounds: 2, log: (line) => said.push(line) });
  expect(tally, said.join("\n")).toMatchObject({ rounds: 2, lost: 0, doubled: 0, lied: 0 });
});
