import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

// What `npm start` does about a missing restic, on distributions this machine is not: a PATH of its own is one.

const script = join(import.meta.dirname, "../../.ci/needs");
const isRoot = process.getuid?.() === 0;

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "holdfast-needs-"));
  chmodSync(directory, 0o755);
  path = join(directory, "bin");
  mkdirSync(path);
  for (const tool of ["id", "mktemp", "rm", "tail"]) symlinkSync(`/usr/bin/${tool}`, join(path, tool));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("an existing restic is left alone", () => {
  program("restic", "exit 0");
  expect(needs()).toEqual({ status: 0, stderr: "" });
});

test.runIf(isRoot)("root installs it with the distribution's package manager", () => {
  program("apk", `echo "$@" >${directory}/asked`);
  expect(needs()).toMatchObject({ status: 0, stderr: "holdfast: installing restic (apk add restic)\n" });
  expect(readFileSync(join(directory, "asked"), "utf8")).toBe("add restic\n");
});

test.runIf(isRoot)("a failing package manager is quoted, with the command", () => {
  program("dnf", "echo 'no mirror answers' >&2; exit 7");
  const { status, stderr } = needs();
  expect(status).toBe(1);
  expect(stderr).toContain("no mirror answers");
  expect(stderr).toContain("Type:  dnf install -y restic ");
});

test.runIf(isRoot)("a user who may not install is shown the command", () => {
  program("zypper", "exit 0");
  expect(needs(65_534)).toEqual({
    status: 1,
    stderr: "holdfast: restic is missing. Type:  sudo zypper --non-interactive install restic   and run this again.\n",
  });
});

test("an unknown distribution is told what is missing", () => {
  expect(needs()).toMatchObject({ status: 1, stderr: expect.stringContaining("Install restic by hand") });
});

function program(name: string, line: string): void {
  writeFileSync(join(path, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
}

function needs(uid?: number): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync("/bin/sh", ["-s", "restic", "restic"], {
    // By standard input: another user may not be able to read the folder we are in.
    input: readFileSync(script),
    cwd: "/",
    env: { PATH: path },
    encoding: "utf8",
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  return { status, stderr };
}
