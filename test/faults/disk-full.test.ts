import { expect, test } from "vitest";
import { diskFull } from "./disk-full.ts";
import { play } from "./fault.ts";

test("a borg stopped by a full disk leaves a lock, which is no warning for the next backup", async () => {
  const said: string[] = [];
  const tally = await play(diskFull, { seed: 2019, rounds: 1, log: (line) => said.push(line) });
  expect(tally, said.join("\n")).toMatchObject({ rounds: 1, lost: 0, doubled: 0, lied: 0 });
});

test("a full disk has its own error code, damages nothing, and the next backup succeeds once there is space", async () => {
  const said: string[] = [];
  const tally = await play(diskFull, { seed: 8251, rounds: 4, log: (line) => said.push(line) });
  expect(tally, said.join("\n")).toMatchObject({ rounds: 4, lost: 0, doubled: 0, lied: 0 });
  for (const place of ["spool", "state", "cache", "repository"])
    expect(said.join("\n")).toContain(`the ${place}'s disk`);
});
