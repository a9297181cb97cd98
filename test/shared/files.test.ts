import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import {
  createFileAtomically,
  readTextIfExists,
  removeStaleTempFiles,
  writeFileAtomically,
} from "../../shared/node/files.ts";

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

test("a file that is made once is whole, 0600 whatever the umask, and not touched when it is there already", async () => {
  const path = join(directory, "signing.key");
  const umask = process.umask(0o777);
  onTestFinished(() => void process.umask(umask));
  expect(await createFileAtomically(path, "first")).toBe(true);
  expect(await createFileAtomically(path, "second")).toBe(false);
  expect(await readTextIfExists(path)).toBe("first");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(directory)).toEqual(["signing.key"]);
});

test("a directory that is missing is made for its owner alone", async () => {
  await writeFileAtomically(join(directory, "state/deep/runs.json"), "text", 0o644);
  expect((await stat(join(directory, "state"))).mode & 0o777).toBe(0o700);
  expect((await stat(join(directory, "state/deep/runs.json"))).mode & 0o777).toBe(0o644);
});

test("a file that can't be put in its place leaves nothing else", async () => {
  await mkdir(join(directory, "state.json"));
  await expect(writeFileAtomically(join(directory, "state.json"), "text")).rejects.toThrow(/EISDIR/);
  expect(await readdir(directory)).toEqual(["state.json"]);
});
