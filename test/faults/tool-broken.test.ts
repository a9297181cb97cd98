import { expect, test } from "vitest";
import { play } from "./fault.ts";
import { toolBroken } from "./tool-broken.ts";

test("whatever the tool does, the reported backup is what the repository holds, and the next one succeeds", async () => {
  const said: string[] = [];
  const tally = await play(toolBroken, { seed: 212, rounds: 4, log: (line) => said.push(line) });
  expect(tally, said.join("\n")).toMatchObject({ rounds: 4, lost: 0, doubled: 0, lied: 0 });
}, 120_000);
