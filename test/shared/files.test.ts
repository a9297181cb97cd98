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

test("temporary files of a killed agent with the same pid, as in a container, are no obstacle", async () => {
  const path = join(directory, "state.json");
  await leaveDrafts(path, process.pid);
  await writeFileAtomically(path, "whole");
  expect(await readFile(path, "utf8")).toBe("whole");
  await leaveDrafts(join(directory, "lock"), process.pid);
  expect(await createFileAtomically(join(directory, "lock"), "held")).toBe(true);
});

test("temporary files of dead processes are removed, those of a living one and other files are not", async () => {
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

test("a file created once is complete, 0600 whatever the umask, and not touched when it exists", async () => {
  const path = join(directory, "signing.key");
  const umask = process.umask(0o777);
  onTestFinished(() => void process.umask(umask));
  expect(await createFileAtomically(path, "first")).toBe(true);
  expect(await createFileAtomically(path, "second")).toBe(false);
  expect(await readTextIfExists(path)).toBe("first");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(directory)).toEqual(["signing.key"]);
});

test("a missing directory is created for its owner only", async () => {
  await writeFileAtomically(join(directory, "state/deep/runs.json"), "text", 0o644);
  expect((await stat(join(directory, "state"))).mode & 0o777).toBe(0o700);
  expect((await stat(join(directory, "state/deep/runs.json"))).mode & 0o777).toBe(0o644);
});

test("a file that can't be put in its place leaves nothing else", async () => {
  await mkdir(join(directory, "state.json"));
  await expect(writeFileAtomically(join(directory, "state.json"), "text")).rejects.toThrow(/EISDIR/);
  expect(await readdir(directory)).toEqual(["state.json"]);
});
