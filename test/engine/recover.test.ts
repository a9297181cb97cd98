import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listProcesses, processRefOf } from "../../agent/system/process/process-ref.ts";
import { backup } from "../../agent/runs.ts";
import { recoverInterrupted } from "../../agent/recover.ts";
import { IS_WHOLE } from "../support/engines.ts";
import { everyRestic, newestRestic } from "../support/restic.ts";
import { until } from "../support/until.ts";
import { type EngineHost, newId, openEngineHost, textOf, type Work } from "./engine-host.ts";

let host: EngineHost;
let runner: ChildProcess | null = null;
let runId: string;
afterEach(async () => {
  runner?.kill("SIGKILL");
  await host.close();
});

/** Begins a backup in a process of its own. */
async function begin(work: Work): Promise<void> {
  runId = newId();
  await go(work, "backup");
}

async function go(work: Work, kind: "backup" | "recover"): Promise<void> {
  await writeFile(join(host.root, "work.json"), JSON.stringify(work));
  runner = spawn(process.execPath, [join(import.meta.dirname, "mortal-runner.ts"), host.root, runId, kind], {
    stdio: ["ignore", "ignore", "inherit"],
  });
}

async function killRunner(): Promise<void> {
  const gone = new Promise((resolve) => runner?.once("exit", resolve));
  runner?.kill("SIGKILL");
  await gone;
}

async function environmentOf(pid: number): Promise<string> {
  return await textOf(`/proc/${pid}/environ`);
}

/** The run's processes that are alive, whoever their parent is. */
async function processesOfRun(): Promise<number[]> {
  const found: number[] = [];
  for (const { pid } of listProcesses()) {
    if ((await environmentOf(pid)).includes(`HOLDFAST_RUN=${runId}`)) found.push(pid);
  }
  return found;
}

const out = (name: string): string => join(host.root, name);

// Under another name it is still being written.
const locks = async (): Promise<string[]> =>
  (await readdir(out("srv/repository/locks"))).filter((name) => /^[0-9a-f]{64}$/.test(name));
/** The restic that holds the lock. */
const resticOfRun = async (): Promise<number | undefined> => {
  const [pid] = (await locks()).length === 0 ? [] : await processesOfRun();
  return pid;
};

describe("a run whose process was killed", () => {
  beforeEach(async () => {
    host = await openEngineHost(newestRestic());
    await host.write("data/file", "one");
  });

  it("in a hook: the hook is ended, the after hooks run, and the run is reported as interrupted", async () => {
    await host.hook("stop", `echo stopped >${out("service")}; sleep 300 & echo $! >${out("child")}; sleep 300`);
    await host.hook("start", `echo started >${out("service")}; echo "$HOLDFAST_PHASE" >${out("phase")}`);
    const work = host.work({ before: ["stop"], after: ["start"] });
    await begin(work);
    await until("the hook", async () => (await textOf(out("child"))) !== "");
    expect(await host.report({ runId })).toMatchObject({ sequence: 1, run: { state: "running" } });

    await recoverInterrupted(host.deps, work.assignment);
    expect(await host.report({ runId })).toMatchObject({ sequence: 1, run: { state: "running" } });
    expect(await textOf(out("service"))).toBe("stopped\n");

    await killRunner();
    await recoverInterrupted(host.deps, work.assignment);
    const { sequence, run, log } = await host.report({ runId });
    expect(run).toMatchObject({ state: "interrupted", snapshot: null, failure: { code: "run.interrupted" } });
    expect(sequence).toBe(2);
    expect(log).toContain('after hook "start"');
    expect(await textOf(out("service"))).toBe("started\n");
    expect(await textOf(out("phase"))).toBe("after\n");
    expect(processRefOf(Number(await readFile(out("child"), "utf8")))).toBeNull();
    expect(await processesOfRun()).toEqual([]);
  });

  it("is ended once, also without an assignment, and its repository is free again", async () => {
    await host.hook("stop", `touch ${out("begun")}; echo 1 >${out("begun")}; sleep 300`);
    await host.hook("start", `echo started >>${out("service")}`);
    const work = host.work({ before: ["stop"], after: ["start"] });
    await begin(work);
    await until("the hook", async () => (await textOf(out("begun"))) !== "");
    await killRunner();
    await Promise.all([recoverInterrupted(host.deps, null), recoverInterrupted(host.deps, null)]);
    await recoverInterrupted(host.deps, null);
    expect(await textOf(out("service"))).toBe("started\n");
    expect((await host.report({ runId })).sequence).toBe(2);
    expect(await host.backup(host.work())).toMatchObject({ state: "succeeded" });
  });
});

describe("a run that starts something", () => {
  beforeEach(async () => {
    host = await openEngineHost(newestRestic());
    await host.write("data/file", "one");
  });

  it("records it first, so that it is found however early the agent dies", async () => {
    await host.hook("stop", "exit 0");
    await host.hook("start", "exit 0");
    const noted = new Map<number, string>();
    const spool: typeof host.spool = {
      ...host.spool,
      write: async (entry) => {
        if (entry.child && !noted.has(entry.child.pid)) {
          // Long enough for what is not held to become what it will be.
          await setTimeout(50);
          noted.set(entry.child.pid, await textOf(`/proc/${entry.child.pid}/cmdline`));
        }
        await host.spool.write(entry);
      },
    };
    const { assignment, binding } = host.work({ before: ["stop"], after: ["start"] });
    const { state } = await backup(
      { ...host.deps, spool },
      {
        assignment,
        binding,
        runId: newId(),
        trigger: "manual",
        scheduledAt: null,
        signal: new AbortController().signal,
      },
    );
    expect(state).toBe("succeeded");
    expect([...noted.values()].filter((command) => !command.includes("read -r go"))).toEqual([]);
    expect([...noted.values()].filter((command) => command.includes("restic")).length).toBeGreaterThan(2);
    expect([...noted.values()].filter((command) => command.includes("hooks.d")).length).toBe(2);
  });

  it("leaves no lock behind, also when the recovering process is killed too", async () => {
    await host.backup(host.work());
    await writeFile(out("data/big"), randomBytes(4_000_000));
    await host.hook("start", `test -e ${out("again")} || { touch ${out("again")}; sleep 300; }`);
    const work = host.work({ settings: { limitUploadKiBs: 600 }, after: ["start"] });
    await begin(work);
    const pid = await until("restic", resticOfRun);
    await killRunner();
    process.kill(pid, "SIGKILL");
    await go(work, "recover");
    await until("the after hook", async () => (await readdir(host.root)).includes("again"));
    await killRunner();
    expect(await locks()).toHaveLength(1);
    await recoverInterrupted(host.deps, work.assignment);
    expect((await host.report({ runId })).run.state).toBe("interrupted");
    expect(await locks()).toEqual([]);
  });
});

describe.each(IS_WHOLE ? everyRestic() : [newestRestic()])("a run killed while restic $version stores", (restic) => {
  beforeEach(async () => {
    host = await openEngineHost(restic);
    await host.write("data/file", "one");
    const { failure } = await host.backup(host.work());
    if (failure !== null) throw new Error(failure.message);
    await writeFile(out("data/big"), randomBytes(4_000_000));
  });

  it("leaves no restic and no lock behind, its after hooks run once, and the next backup is good", async () => {
    await host.hook("stop", `echo stopped >>${out("service")}`);
    await host.hook("start", `echo started >>${out("service")}`);
    const work = host.work({ settings: { limitUploadKiBs: 600 }, before: ["stop"], after: ["start"] });
    await begin(work);
    const pid = await until("restic", resticOfRun);
    await killRunner();
    expect(processRefOf(pid)).not.toBeNull();
    await recoverInterrupted(host.deps, work.assignment);
    expect(processRefOf(pid)).toBeNull();
    expect(await locks()).toEqual([]);
    const { run, snapshots } = await host.report({ runId });
    expect(run).toMatchObject({ state: "interrupted", snapshot: null });
    expect(snapshots).toHaveLength(1);
    await recoverInterrupted(host.deps, work.assignment);
    expect(await textOf(out("service"))).toBe("stopped\nstarted\n");
    expect((await host.report({ runId })).sequence).toBe(2);
    expect(await host.backup(host.work())).toMatchObject({ state: "succeeded" });
  });

  it("before it could record its restic leaves none behind either", async () => {
    const work = host.work({ settings: { limitUploadKiBs: 50 } });
    await begin(work);
    const pid = await until("restic", resticOfRun);
    // Nobody reads any more what it says: left to itself it would die of that, unseen.
    process.kill(pid, "SIGSTOP");
    await killRunner();
    const entry = (await host.spool.list()).find(({ report }) => report.type === "run" && report.run.id === runId);
    if (entry === undefined) throw new Error("the run is not in the spool");
    await host.spool.write({ ...entry, child: null });
    host.impatient();
    await recoverInterrupted(host.deps, work.assignment);
    expect(processRefOf(pid)).toBeNull();
    expect(await locks()).toEqual([]);
  });

  it("after its snapshot was stored is reported with it", async () => {
    const after = join(host.root, "restic");
    const script = `#!/bin/sh\nif [ "$1" = backup ]; then ${restic.path} "$@"; touch ${out("stored")}; sleep 300; fi\nexec ${restic.path} "$@"\n`;
    await writeFile(after, script, { mode: 0o755 });
    process.env["HOLDFAST_RESTIC"] = after;
    const work = host.work();
    await begin(work);
    await until("the snapshot", async () => (await readdir(host.root)).includes("stored"));
    await killRunner();
    host.impatient();
    process.env["HOLDFAST_RESTIC"] = restic.path;
    await recoverInterrupted(host.deps, work.assignment);
    const { run, snapshots } = await host.report({ runId });
    expect(run.state).toBe("interrupted");
    expect(run.snapshot).toBe(snapshots?.at(-1)?.id);
    expect(snapshots).toHaveLength(2);
  });
});
