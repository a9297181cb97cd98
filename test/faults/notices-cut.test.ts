import { expect, test } from "vitest";
import { play } from "./fault.ts";
import { noticesCut } from "./notices-cut.ts";

test("whatever is killed while detecting, sweeping or sending: everyone is notified once, and the last notification is the current state", async () => {
  const said: string[] = [];
  const tally = await play(noticesCut, { seed: 4, rounds: 6, log: (line) => said.push(line) });
  expect(tally, said.join("\n")).toMatchObject({ rounds: 6, lost: 0, doubled: 0, lied: 0 });
});
