import { expect, test } from "vitest";
import { clockJumped } from "./clock-jumped.ts";
import { play } from "./fault.ts";

test("clock-jumped: a host that is a day ahead, and then a day behind, catches up once and removes nothing meanwhile", async () => {
  const said: string[] = [];
  const tally = await play(clockJumped, { seed: 213, rounds: 2, log: (line) => void said.push(line) });
  expect(tally, said.join("\n")).toMatchObject({ rounds: 2, lost: 0, doubled: 0, lied: 0 });
  expect(said.map((line) => line.split(":")[0])).toEqual(["agent 24 h", "agent -24 h"]);
});
