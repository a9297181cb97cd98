import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { agentPaths } from "../../agent/config.ts";
import { isEquivalentUnit } from "../../agent/daemon/script-files.ts";
import { type HandOver, openHandOver } from "../../agent/daemon/units/hand-over.ts";
import { unitText } from "../../agent/daemon/units/unit-file.ts";
import { exitStatusOf, unitStatusOf } from "../../agent/run/outcome-lines.ts";
import { runFailure } from "../../agent/run-error.ts";
import { memoryKills, possibleCgroups, unitCgroups } from "../../agent/system/cgroups.ts";
import { until } from "../support/until.ts";

// The two sides of a hand-over without systemd: the script out of the unit, and the agent that it waits for. A machine
// with systemd plays it all in test/install/machine.test.ts.

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-units-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const unit = unitText({ paths: agentPaths(""), command: ["/usr/local/bin/holdfast-agent"], user: "root" });

/** The unit's script, as systemd would start it for the binding "photos". */
function startScript() {
  const [, quoted = ""] = /^ExecStart=\/bin\/sh -c "(.*)" holdfast-backup/m.exec(unit.replaceAll("\\\n", "")) ?? [];
  const script = quoted.replaceAll("$$", "$").replaceAll(/\\(["\\])/g, "$1");
  const child = spawn("/bin/sh", ["-c", script, "sh", join(directory, "run/photos"), "echo", "alone"]);
  const said = text(child.stdout);
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { child, ended: async () => ({ status: await ended, said: await said }) };
}

const open = (): Promise<HandOver> =>
  openHandOver({ runtime: directory, handOverDir: join(directory, "run") }, "photos");

test("the unit is one that systemd and a shell can read, and one that NixOS may have made", async () => {
  const path = join(directory, "holdfast-backup@photos.service");
  await writeFile(path, unit.replace("/usr/local/bin/holdfast-agent", "/bin/true"));
  expect(execFileSync("systemd-analyze", ["verify", path], { encoding: "utf8", stdio: "pipe" })).toBe("");
  expect(isEquivalentUnit(unit)).toBe(true);
});

test("without an agent that waits, the script does the backup alone; a dead agent's directory is no agent", async () => {
  expect(await startScript().ended()).toEqual({ status: 0, said: "alone\n" });
  await mkdir(join(directory, "run/photos"), { recursive: true });
  expect(await startScript().ended()).toEqual({ status: 0, said: "alone\n" });
  execFileSync("mkfifo", [join(directory, "run/photos/log")]);
  expect(await startScript().ended()).toEqual({ status: 0, said: "alone\n" });
});

test("handed over, the script says what the agent writes, asks for the stop, and ends as the agent says", async () => {
  const handOver = await open();
  const script = startScript();
  const { pid } = await until("the script to attach", () => handOver.attached());
  expect(pid).toBe(script.child.pid);
  const lines = Array.from({ length: 9_000 }, (_, index) => `line ${index} of many`);
  for (const line of lines) handOver.write(line);
  expect(handOver.isStopped()).toBe(false);
  process.kill(pid, "SIGTERM");
  await until("the stop", async () => handOver.isStopped());
  handOver.write("the last");
  await handOver.end(3);
  expect(await script.ended()).toEqual({ status: 3, said: [...lines, "the last", ""].join("\n") });
  expect(existsSync(join(directory, "run/photos"))).toBe(false);
});

test("an agent that is gone in the middle fails its unit, in a sentence", async () => {
  const handOver = await open();
  const script = startScript();
  await until("the script to attach", () => handOver.attached());
  await handOver.withdraw();
  expect(await script.ended()).toEqual({
    status: 1,
    said: "the agent ended before this backup did: when it runs again, it finishes what is left\n",
  });
});

test("a script that reads nothing holds up nobody, and one that is gone is not waited for", async () => {
  const handOver = await open();
  const script = startScript();
  const { pid } = await until("the script to attach", () => handOver.attached());
  process.kill(pid, "SIGKILL");
  for (let index = 0; index < 2_000; index++) handOver.write("x".repeat(1_000));
  await handOver.end(0);
  expect(await script.ended()).toMatchObject({ status: null });
});

test("nothing is handed over in a place that others can change", async () => {
  await chmod(directory, 0o777);
  await expect(open()).rejects.toThrow("is not a directory that only the agent can change");
  await chmod(directory, 0o700);
  await symlink("/tmp", join(directory, "run"));
  await expect(open()).rejects.toThrow("is not a directory");
});

test("the control groups of a unit are found in every hierarchy, and of no other unit", async () => {
  const path = "/system.slice/system-holdfast\\x2dbackup.slice/holdfast-backup@a.service";
  expect(possibleCgroups(`0::${path}\n`)).toContain(`/sys/fs/cgroup${path}`);
  expect(possibleCgroups(`4:cpu,cpuacct:${path}\n1:name=systemd:${path}\n`)).toEqual([
    `/sys/fs/cgroup/cpu,cpuacct${path}`,
    `/sys/fs/cgroup/systemd${path}`,
  ]);
  expect(possibleCgroups("nonsense")).toEqual([]);
  expect(await unitCgroups(process.pid, "holdfast-backup@a.service")).toEqual([]);
  expect(await unitCgroups(2 ** 30, "holdfast-backup@a.service")).toEqual([]);
  await writeFile(join(directory, "memory.events"), "low 0\nhigh 0\nmax 17\noom 2\noom_kill 2\noom_group_kill 0\n");
  expect(await memoryKills([directory, join(directory, "none")])).toBe(2);
});

test("below another root there is no hand-over", async () => {
  const text = unitText({ paths: agentPaths(directory), command: ["/x y/agent"], user: "me" });
  expect(text).toContain(`Environment="HOLDFAST_AGENT_ROOT=${directory}"\nExecStart="/x y/agent" backup %i\n`);
});

test("what was put off or cancelled fails no unit; at a terminal somebody is to try again", () => {
  const locked = runFailure("repository.locked", "locked");
  const statuses = (outcome: Parameters<typeof unitStatusOf>[0]) => [unitStatusOf(outcome), exitStatusOf(outcome)];
  expect(statuses({ state: "succeeded", failure: null })).toEqual([0, 0]);
  expect(statuses({ state: "warned", failure: null })).toEqual([3, 3]);
  expect(statuses({ state: "failed", failure: runFailure("hook.failed", "it failed") })).toEqual([1, 1]);
  expect(statuses({ state: "failed", failure: locked })).toEqual([75, 75]);
  expect(statuses({ state: "cancelled", failure: locked })).toEqual([4, 75]);
  expect(statuses({ state: "cancelled", failure: runFailure("run.cancelled", "cancelled") })).toEqual([4, 4]);
});
