import { expect, test } from "vitest";
import { databaseDiskFull } from "./database-disk-full.ts";
import { databaseKilled } from "./database-killed.ts";
import { databaseLocked } from "./database-locked.ts";
import { play } from "./fault.ts";

test.each([databaseLocked, databaseKilled, databaseDiskFull])(
  "$name: what was acknowledged is there, and is told once",
  async (fault) => {
    const said: string[] = [];
    const tally = await play(fault, { seed: 2, rounds: 1, log: (line) => void said.push(line) });
    expect(tally, said.join("\n")).toMatchObject({ rounds: 1, lost: 0, doubled: 0, lied: 0 });
  },
);
