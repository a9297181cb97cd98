import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { dispatchDue } from "../../agent/daemon/dispatch.ts";
import type { ProcessRef } from "../../agent/system/process/process-ref.ts";
import type { RunFailure } from "../../shared/failure.ts";
import type { SpoolEntry } from "../../agent/state/spool-entry.ts";
import type { RunUnit } from "../../agent/run/deps.ts";
import { type InUnit, openBackupUnits } from "../../agent/daemon/units/backup-units.ts";
import { openQueue } from "../../agent/daemon/queue.ts";
import { type EngineHost, newId } from "../engine/engine-host.ts";
import { openReadyHost } from "../engine/ready-host.ts";

let host: EngineHost;
beforeEach(async () => {
  host = await openReadyHost();
  await host.write("data/file", "one");
});
afterEach(() => host.close());

/** Lets a binding's time come. @returns what happened, in order, once all of it has */
async function dueOnce(
  change: { write?: (entry: SpoolEntry) => Promise<void>; unit?: RunUnit; keep?: number } = {},
): Promise<string[]> {
  const happened: string[] = [];
  const write = async (entry: SpoolEntry): Promise<void> => {
    await (change.write ?? host.spool.write)(entry);
    if (entry.report.type === "run") happened.push(`${entry.report.run.kind} ${entry.report.run.state}`);
  };
  const { assignment, binding } = host.work({ settings: { retention: { keep_last: change.keep ?? 3 } } });
  const ended = Promise.withResolvers<void>();
  const queue = openQueue(1);
  const { unit } = change;
  const inUnit: InUnit =
    unit === undefined ? await openBackupUnits(host.deps) : ({ signal }, work) => work({ signal, unit });
  const deps = {
    runner: { ...host.deps, spool: { ...host.spool, write } },
    queue: {
      ...queue,
      add: (job: Parameters<typeof queue.add>[0]) => void job.start(new AbortController().signal).then(ended.resolve),
    },
    inUnit,
    newId,
    assignment: () => assignment,
    signed: () => null,
    interruptedRunsEnded: Promise.resolve(),
  };
  dispatchDue(deps, {
    task: { kind: "backup", binding },
    dueAt: Date.now(),
    trigger: "schedule",
    onStarted: async () => void happened.push("its time is behind us"),
    onNotStarted: () => void happened.push("its time is put back"),
  });
  await ended.promise;
  return happened.filter((what, at) => what !== happened[at - 1]);
}

test("a scheduled time is done only once its run can't be lost", async () => {
  expect(await dueOnce()).toEqual(["backup running", "its time is behind us", "backup running", "backup succeeded"]);
});

test("a run that could not be recorded has not started: its time comes again", async () => {
  const full = (): Promise<void> => Promise.reject(new Error("no space left on device"));
  expect(await dueOnce({ write: full })).toEqual(["its time is put back"]);
});

test("in a unit, each child of the run and of its retention is moved there before it begins, and each line is said there", async () => {
  const lines: string[] = [];
  const adopted: string[] = [];
  const adopt = async ({ pid }: ProcessRef): Promise<void> => {
    adopted.push(await readFile(`/proc/${pid}/cmdline`, "utf8"));
  };
  const unit = { log: (line: string) => void lines.push(line), adopt, explain: async (failure: RunFailure) => failure };
  await host.policy({ keep: { snapshots: 1, days: 0 } });
  const { runId: earlier } = await host.backup(host.work());
  expect(await dueOnce({ unit, keep: 1 })).toContain("forget succeeded");
  // Still the shell that waits until it may begin.
  expect(adopted.filter((command) => command.includes("read -r go"))).toEqual(adopted);
  expect(adopted.some((command) => command.includes("\0backup\0"))).toBe(true);
  expect(adopted.some((command) => command.includes("\0snapshots\0"))).toBe(true);
  const reports = (await host.reports()).filter(({ run }) => run.id !== earlier);
  const logs = reports.flatMap(({ log }) => log.split("\n"));
  expect(lines.toSorted()).toEqual(
    logs
      .filter((line) => line !== "")
      .map((line) => line.slice(10))
      .toSorted(),
  );
  expect(lines).not.toEqual([]);
});
