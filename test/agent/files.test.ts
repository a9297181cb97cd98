import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createFileAtomically, removeStaleTempFiles, writeFileAtomically } from "../../agent/system/files.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-files-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** What a killed process leaves when it dies between making a draft and putting it in its place. */
async function leaveDrafts(path: string, pid: number): Promise<void> {
  for (let made = 0; made < 50; made++) await writeFile(`${path}.${pid}-${made}.tmp`, "half");
}

test("drafts of an agent that was killed as the same process number, as in a container, are in nobody's way", async () => {
  const path = join(directory, "state.json");
  await leaveDrafts(path, process.pid);
  await writeFileAtomically(path, "whole");
  expect(await readFile(path, "utf8")).toBe("whole");
  await leaveDrafts(join(directory, "lock"), process.pid);
  expect(await createFileAtomically(join(directory, "lock"), "held")).toBe(true);
});

test("drafts of processes that are gone are removed, those of one that lives are not, nor is anything else", async () => {
  const gone = spawnSync("true").pid;
  const path = join(directory, "state.json");
  await writeFileAtomically(path, "whole");
  await writeFile(`${path}.${gone}-0.tmp`, "half");
  await writeFile(`${path}.${gone}-3f0c9d6e-1111-4222-8333-944445555666.tmp`, "half");
  await writeFile(`${path}.${process.ppid}-3f0c9d6e-1111-4222-8333-944445555666.tmp`, "half");
  await writeFile(join(directory, "mine.tmp"), "kept");
  await removeStaleTempFiles([directory, join(directory, "not-there")]);
  expect((await readdir(directory)).toSorted()).toEqual([
    "mine.tmp",
    "state.json",
    `state.json.${process.ppid}-3f0c9d6e-1111-4222-8333-944445555666.tmp`,
  ]);
});
