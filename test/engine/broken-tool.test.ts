import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { readBackupDeferral } from "../../agent/state/backup-deferral.ts";
import { listProcesses } from "../../agent/system/process/process-ref.ts";
import { newestRestic } from "../support/restic.ts";
import { type EngineHost, newId, useEngine } from "./engine-host.ts";
import { openReadyHost } from "./ready-host.ts";

let host: EngineHost;
beforeEach(async () => {
  host = await openReadyHost();
  await host.write("data/file", "one");
});
afterEach(() => host.close());

/** From now on this is done in place of one of restic's commands. */
async function instead(command: string, script: string): Promise<void> {
  const path = join(host.root, "restic");
  const text = `#!/bin/sh\ncase " $* " in *" ${command} "*) ${script};; esac\nexec ${newestRestic().path} "$@"\n`;
  await writeFile(path, text, { mode: 0o755 });
  useEngine({ provider: "restic", path });
}

it("that reports an older snapshot's id, or none, has stored nothing", async () => {
  const first = await host.backup(host.work());
  for (const id of [first.snapshot, ""]) {
    await instead(
      "backup",
      `echo '{"message_type":"summary","snapshot_id":"${id}","total_files_processed":1}'; exit 0`,
    );
    expect(await host.backup(host.work())).toMatchObject({
      state: "failed",
      snapshot: null,
      failure: { code: "snapshot.not_listed" },
    });
  }
});

it("that is killed while it takes its lock is not reported as locked", async () => {
  const words = "signal terminated received, cleaning up\\nunable to create lock in backend: context canceled";
  await instead("backup", `printf '${words}\\n' >&2; exit 11`);
  const outcome = await host.backup(host.work(), { trigger: "schedule" });
  expect(outcome).toMatchObject({ state: "failed", failure: { code: "engine.crashed" } });
});

it("that hangs is stopped at its time limit, reported, and leaves nothing behind", async () => {
  host.impatient();
  await instead("backup", "trap '' INT TERM; sleep 1000 & wait");
  const runId = newId();
  const outcome = await host.backup(host.work({ settings: { runTimeLimit: "1s" } }), { runId });
  expect(outcome).toMatchObject({ state: "failed", failure: { code: "run.timed_out" } });
  const environments = listProcesses().map(({ pid }) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "latin1");
    } catch {
      return "";
    }
  });
  expect(environments.filter((text) => text.includes(runId))).toEqual([]);
});

it("that prints without end fills no memory, and the run's log is as short as ever", async () => {
  const much = (bytes: number): string => `head -c ${bytes} /dev/zero | tr '\\0' x`;
  await instead("backup", `${much(2e8)}; ${much(3e7)} | fold -w 900 >&2; exit 0`);
  const before = process.memoryUsage().rss;
  let most = 0;
  const watch = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 50);
  const outcome = await host.backup(host.work());
  clearInterval(watch);
  expect(outcome).toMatchObject({ state: "failed", failure: { code: "snapshot.not_listed" } });
  expect(most - before).toBeLessThan(250e6);
  expect(Buffer.byteLength((await host.report(outcome)).log)).toBeLessThanOrEqual(65_536);
});

it("that finds the repository locked defers a scheduled backup for up to a day, longer each time; an ordered one fails", async () => {
  const { binding } = host.work();
  let now = Date.now();
  Object.assign(host.deps, { clock: { now: () => now } });
  await instead("backup", "echo 'unable to create lock in backend: repository is already locked' >&2; exit 11");
  const minutesUntilAgain = async (): Promise<number> =>
    (Date.parse((await readBackupDeferral(host.paths, binding.id))?.againAt ?? "") - now) / 60_000;
  const locked = { failure: { code: "repository.locked" } };
  expect(await host.backup(host.work())).toMatchObject({ ...locked, state: "failed" });
  for (const [trigger, minutes] of [
    ["schedule", 10],
    ["catch-up", 20],
  ] as const) {
    expect(await host.backup(host.work(), { trigger })).toMatchObject({ ...locked, state: "cancelled" });
    expect(await minutesUntilAgain()).toBe(minutes);
    now += 3_600_000;
  }
  now += 24 * 3_600_000;
  expect(await host.backup(host.work(), { trigger: "catch-up" })).toMatchObject({ ...locked, state: "failed" });
  expect(await readBackupDeferral(host.paths, binding.id)).toBeNull();
});
