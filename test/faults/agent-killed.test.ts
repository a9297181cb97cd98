import { expect, test } from "vitest";
import { agentKilledAt, type Turn } from "./agent-killed.ts";
import { play } from "./fault.ts";
import { MOMENTS } from "./moments.ts";

test("an agent that is killed at every kind of moment reports each run once and truly, and leaves nothing behind", async () => {
  const turns = MOMENTS.filter(({ name }) => name !== "at any time").map((moment): Turn => ({
    moment,
    tool: moment.name === "in the middle of the backup" ? "borg" : "restic",
  }));
  const [first] = turns;
  if (first === undefined) throw new Error("there are no moments");
  const said: string[] = [];
  const inTurn = agentKilledAt("agent-killed", turns.length, () => turns.shift() ?? first);
  const tally = await play(inTurn, { seed: 1, rounds: turns.length, log: (line) => said.push(line) });
  expect(tally, said.join("\n")).toMatchObject({ rounds: 9, lost: 0, doubled: 0, lied: 0 });
});
