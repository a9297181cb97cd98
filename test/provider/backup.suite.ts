import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listProcesses, processRefOf } from "../../agent/system/process/process-ref.ts";
import { listSnapshots } from "../../agent/runs.ts";
import { recoverInterrupted } from "../../agent/recover.ts";
import {
  type EngineHost,
  handEnvironment,
  newId,
  openEngineHost,
  textOf,
  useEngine,
  type Work,
} from "../engine/engine-host.ts";
import type { FoundEngine } from "../support/engines.ts";
import { until } from "../support/until.ts";
import { BY_TOOL } from "./by-tool.ts";

/** What `OpenRepository.backup` promises. */
export function backupSuite(engine: FoundEngine, { isNewest }: { isNewest: boolean }): void {
  const tool = BY_TOOL[engine.provider];

  describe(`a backup with ${engine.provider} ${engine.version}`, () => {
    let host: EngineHost;
    beforeEach(async () => {
      host = await openEngineHost(engine);
      await host.write("data/file", "one");
    });
    afterEach(() => host.close());

    const repository = (): string => join(host.root, "srv/repository");
    async function storing(runId: string): Promise<number> {
      return await until("the engine in the middle of its backup", async () =>
        host.progress.length === 0 ? undefined : await engineOf(runId),
      );
    }

    /** The process that stores for the run. */
    async function engineOf(runId: string): Promise<number | undefined> {
      for (const { pid } of listProcesses()) {
        if (!(await textOf(`/proc/${pid}/environ`)).includes(`HOLDFAST_RUN=${runId}`)) continue;
        if ((await textOf(`/proc/${pid}/cmdline`)).includes(`\0${tool.store}\0`)) return pid;
      }
      return undefined;
    }

    it("stores the sources, literally and behind links, without excluded files, and reports what it stored", async () => {
      const names = ["$HOME", "-odd name ", "[x]", "{utcnow}", "a.tmp"];
      for (const name of names) await host.write(`data/${name}/file`, "three");
      const sources = names.map((name) => join(host.root, "data", name));
      const link = join(host.root, "link");
      await symlink(join(host.root, "data/$HOME"), link);
      const work = host.work({ sources: [link, ...sources.slice(1, 4)], excludes: ["*.tmp"] });
      await host.write("data/[x]/more.tmp", "left out");
      expect(await host.backup(work)).toMatchObject({ state: "succeeded", failure: null });
      const paths = tool.paths(host, work);
      for (const source of sources.slice(0, 4)) expect(paths).toContain(`${source}/file`);
      expect(paths.filter((path) => path.includes(".tmp"))).toEqual([]);

      const { run, snapshots, log } = await host.report({ kind: "backup" });
      expect(log).toContain(`source ${link} is ${sources[0]}`);
      expect(run).toMatchObject({ warnings: [], stats: { filesTotal: 4 } });
      expect(run.stats?.bytesTotal).toBeGreaterThanOrEqual(20);
      expect(run.stats?.bytesAdded).toBeGreaterThan(0);
      expect(snapshots).toMatchObject([{ id: run.snapshot, bytesTotal: run.stats?.bytesTotal }]);
      expect(snapshots?.[0]?.paths.toSorted()).toEqual(sources.slice(0, 4).toSorted());
      expect(Date.parse(snapshots?.[0]?.takenAt ?? "")).toBeGreaterThanOrEqual(Date.parse(run.startedAt ?? ""));
    });

    it("with a file its user can't read is warned, its snapshot recorded, and retention held back", async () => {
      await host.write("data/locked", "secret");
      await chmod(join(host.root, "data/locked"), 0);
      const work = host.work({ user: "nobody", settings: { retention: { keep_last: 1 } } });
      expect(await host.backup(work)).toMatchObject({
        state: "warned",
        failure: null,
        snapshot: expect.stringMatching(/^[0-9a-f]{64}$/),
      });
      const { run, log } = await host.report({ kind: "backup" });
      expect(run.warnings).toEqual([expect.stringMatching(/data\/locked.*permission denied/i)]);
      expect(log).toContain("old snapshots are not removed");
      expect(await host.reports()).toHaveLength(1);
    });

    it("of sources without a readable file never counts, and no snapshot of it stays", async () => {
      await mkdir(join(host.root, "hollow/inside"), { recursive: true });
      const hollow = host.work({ user: "nobody", sources: [join(host.root, "hollow")] });
      expect(await host.backup(hollow)).toMatchObject({
        state: "failed",
        snapshot: null,
        failure: { code: "source.empty" },
      });
      await chmod(join(host.root, "data/file"), 0);
      const unreadable = await host.backup(host.work({ user: "nobody" }));
      expect(unreadable).toMatchObject({ state: "failed", snapshot: null });
      expect(unreadable.failure?.code).toMatch(/^source\.(unreadable|empty)$/);
      expect((await host.report({ kind: "backup" })).snapshots).toEqual([]);
      expect(tool.ids(host, hollow)).toEqual([]);
    });

    it("cancelled in the middle ends as cancelled: no snapshot, no lock, no process, and the next one succeeds", async () => {
      const work = host.work({ settings: await tool.slow(host) });
      const [stop, runId] = [new AbortController(), newId()];
      const running = host.backup(work, { signal: stop.signal, runId });
      const pid = await storing(runId);
      stop.abort();
      expect(await running).toMatchObject({ state: "cancelled", snapshot: null, failure: { code: "run.cancelled" } });
      expect(listProcesses().some((status) => status.pid === pid)).toBe(false);
      expect(await tool.locks(host)).toEqual([]);
      expect((await host.report({ kind: "backup" })).snapshots).toEqual([]);
      await rm(join(host.root, "data/slow"), { recursive: true });
      expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
      expect((await host.report({ kind: "backup" })).snapshots).toHaveLength(1);
      expect(tool.ids(host, work)).toHaveLength(1);
    });

    it("that ignores SIGINT is killed, and its lock removed", async () => {
      const work = host.work({ settings: await tool.slow(host) });
      host.impatient();
      const [stop, runId] = [new AbortController(), newId()];
      const running = host.backup(work, { signal: stop.signal, runId });
      const pid = await storing(runId);
      expect(await tool.locks(host)).not.toEqual([]);
      process.kill(pid, "SIGSTOP");
      stop.abort();
      expect(await running).toMatchObject({ state: "cancelled", snapshot: null });
      expect(await tool.locks(host)).toEqual([]);
    });

    // What our own code does to every engine's process, whichever version that is.
    it.runIf(isNewest)(
      "gives way as its binding says, and shows neither its secrets nor its place in the process list",
      async () => {
        const slow = await tool.slow(host);
        const secret = `secret-${randomBytes(8).toString("hex")}`;
        const performance = { niceness: 15, ioSchedulingClass: "best-effort" as const, ioPriority: 6 };
        const passphrase = { file: await host.write("pass", `${secret}\n`) };
        const work = host.work({ user: "nobody", passphrase, settings: { ...slow, performance } });
        const [stop, runId] = [new AbortController(), newId()];
        const running = host.backup(work, { signal: stop.signal, runId });
        const pid = await storing(runId);
        const [stat, line, environment] = await Promise.all(
          ["stat", "cmdline", "environ"].map((name) => textOf(`/proc/${pid}/${name}`)),
        );
        const io = execFileSync("ionice", ["-p", `${pid}`], { encoding: "utf8" });
        stop.abort();
        await running;
        expect(stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[16]).toBe("15");
        expect(io.trim()).toBe("best-effort: prio 6");
        expect(line).not.toContain(repository());
        for (const shown of [line, environment]) expect(shown).not.toContain(secret);
        expect(JSON.stringify([await host.reports(), host.lines])).not.toContain(secret);
      },
    );

    it.runIf(isNewest)("respects the binding's limits in every step, and reports those it can't", async () => {
      const path = join(host.root, engine.provider);
      const calls = join(host.root, "calls");
      await writeFile(path, `#!/bin/sh\necho "$*" >>${calls}\nexec ${engine.path} "$@"\n`, { mode: 0o755 });
      useEngine({ provider: engine.provider, path });
      const settings = { limitUploadKiBs: 2048, limitDownloadKiBs: 1024, retention: { keep_last: 1 } };
      const work = host.work({ settings });
      expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
      const { log } = await host.report({ kind: "backup" });
      await host.restore(work, { target: join(host.root, "out") });
      const said = (await textOf(calls)).split("\n").filter((line) => !/^(--version|version|)$/.test(line));
      expect(said.length).toBeGreaterThan(6);
      for (const line of said) for (const limit of tool.limits) expect(line).toContain(limit);
      for (const line of tool.limitsNotKept) expect(log.match(new RegExp(line, "g"))).toHaveLength(1);
    });

    it("whose agent and engine were both killed leaves no lock, and is reported", async () => {
      const [work, runId] = [host.work({ settings: await tool.slow(host) }), newId()];
      await writeFile(join(host.root, "work.json"), JSON.stringify(work));
      const program = join(import.meta.dirname, "../engine/mortal-runner.ts");
      const runner = spawn(process.execPath, [program, host.root, runId], { stdio: ["ignore", "ignore", "inherit"] });
      const gone = new Promise((resolve) => runner.once("exit", resolve));
      const pid = await until("the engine's lock", async () => {
        return (await tool.locks(host)).length > 0 && (await engineOf(runId));
      });
      runner.kill("SIGKILL");
      await gone;
      process.kill(pid, "SIGKILL");
      await until("its death", () => processRefOf(pid) === null);
      expect(await tool.locks(host)).not.toEqual([]);
      await recoverInterrupted(host.deps, work.assignment);
      expect(await tool.locks(host)).toEqual([]);
      expect((await host.report({ runId })).run).toMatchObject({ state: "interrupted", snapshot: null });
    });

    it("is what the repository lists, whatever the tool's exit code and output", async () => {
      const work = host.work();
      await host.backup(work);
      const lying = async (script: string): Promise<void> => {
        const path = join(host.root, engine.provider);
        const body = `case " $* " in *" ${tool.store} "*) ${script};; esac\nexec ${engine.path} "$@"\n`;
        await writeFile(path, `#!/bin/sh\n${body}`, { mode: 0o755 });
        useEngine({ provider: engine.provider, path });
      };
      await lying(`${engine.path} "$@"; echo 'broken pipe' >&2; exit 2`);
      const stored = await host.backup(work);
      expect(stored).toMatchObject({ state: "warned", snapshot: expect.stringMatching(/^[0-9a-f]{64}$/) });
      expect(stored.failure?.message).toContain("broken pipe");

      await lying(`${tool.lie}; exit 0`);
      expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "snapshot.not_listed" } });
      await lying("kill -KILL $$");
      expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "engine.crashed" } });
    });

    it("waits for another program's lock, then fails as locked; the list needs no lock", async () => {
      const work = host.work();
      await writeFile(join(host.root, "data/big"), randomBytes(500_000));
      const { snapshot } = await host.backup(work);
      const holder = spawn(engine.path, [...tool.hold], {
        stdio: "ignore",
        detached: true,
        env: handEnvironment(host, work),
      });
      const gone = new Promise((resolve) => holder.once("exit", resolve));
      try {
        await until("the other program's lock", async () => (await tool.locks(host)).length > 0);
        expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "repository.locked" } });
        expect((await listSnapshots(host.deps, work)).map(({ id }) => id)).toEqual([snapshot]);
      } finally {
        process.kill(-(holder.pid ?? 0), "SIGKILL");
        await gone;
      }
    });

    it("to a full disk fails as full, and the next one works again", async () => {
      const disk = join(host.root, "srv");
      await mkdir(disk);
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=3m,mode=755", "holdfast-test", disk]);
      try {
        const work: Work = host.work();
        expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
        await writeFile(join(host.root, "data/big"), randomBytes(6_000_000));
        expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "repository.full" } });
        await rm(join(host.root, "data/big"));
        execFileSync("mount", ["-o", "remount,size=30m", disk]);
        expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
      } finally {
        execFileSync("umount", ["-l", disk]);
      }
    });
  });
}
