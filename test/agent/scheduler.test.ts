import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { onTestFinished, expect, test } from "vitest";
import { writeBackupDeferral } from "../../agent/state/backup-deferral.ts";
import { nextDueAt, startScheduler } from "../../agent/daemon/scheduler.ts";
import type { DueTask } from "../../agent/daemon/scheduler.ts";
import { writeLastRun } from "../../agent/state/last-run.ts";
import type { Boot } from "../../agent/system/boot.ts";
import { instant } from "../../shared/ids.ts";
import type { Paths } from "../../agent/config.ts";
import { holdTime } from "./held-time.ts";
import type { HeldTime } from "./held-time.ts";
import { scratchRoot } from "./scratch.ts";
import { assignmentOf, newId } from "./signer.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

function start(deps: {
  paths: Paths;
  time: HeldTime;
  assignment: ReturnType<typeof assignmentOf> | null;
  bootOf?: (now: number) => Boot;
}) {
  const dues: DueTask[] = [];
  const lines: string[] = [];
  const scheduler = startScheduler({
    paths: deps.paths,
    ...deps.time,
    zone: "UTC",
    log: (line) => void lines.push(line),
    assignment: () => deps.assignment,
    ...(deps.bootOf === undefined ? {} : { bootOf: deps.bootOf }),
    onDue: (due) => void dues.push(due),
  });
  onTestFinished(() => scheduler.stop());
  const said = (): string[] =>
    dues.map(({ dueAt, trigger }) => `${new Date(dueAt).toISOString().slice(11, 16)} ${trigger}`);
  return { scheduler, dues, said, lines };
}

/** The timers only wake the scheduler; it is done when its own promise says so. */
async function pass(time: HeldTime, scheduler: { wake(): Promise<void> }, milliseconds: number): Promise<void> {
  await time.advance(milliseconds);
  await scheduler.wake();
}

const hourly = (): ReturnType<typeof assignmentOf> =>
  assignmentOf(newId(), 1, { timerConfig: { OnCalendar: "hourly", RandomizedDelaySec: "0" }, zone: "UTC" });

test("a scheduled time is done once its run has started, also after a restart; before that it comes again", async () => {
  const { paths } = await scratchRoot();
  const time = holdTime();
  const assignment = hourly();
  const first = start({ paths, time, assignment });
  await first.scheduler.wake();
  await pass(time, first.scheduler, HOUR);
  expect(first.said()).toEqual(["09:00 schedule"]);
  first.scheduler.stop();

  // The daemon died before it could begin: the next one says it again.
  const second = start({ paths, time, assignment });
  await second.scheduler.wake();
  expect(second.said()).toEqual(["09:00 schedule"]);
  await second.dues[0]?.onStarted();
  second.scheduler.stop();

  const third = start({ paths, time, assignment });
  await pass(time, third.scheduler, MINUTE);
  expect(third.said()).toEqual([]);
  const [binding] = assignment.bindings;
  const history = await readFile(join(paths.bindingsDir, `${binding?.id}.json`), "utf8");
  expect(JSON.parse(history)).toMatchObject({ lastDueAt: "2026-11-23T09:00:00.000Z" });
});

test("checking the schedules while a run starts does not start it twice", async () => {
  const { paths } = await scratchRoot();
  const time = holdTime();
  const { scheduler, said, dues } = start({ paths, time, assignment: hourly() });
  await scheduler.wake();
  await pass(time, scheduler, HOUR);
  await Promise.all([dues[0]?.onStarted(), scheduler.wake(), scheduler.wake()]);
  await scheduler.wake();
  expect(said()).toEqual(["09:00 schedule"]);
});

test("a run that waits in the queue over several of its times is one run for all of them", async () => {
  const { paths } = await scratchRoot();
  const time = holdTime();
  const { scheduler, said, dues } = start({ paths, time, assignment: hourly() });
  await scheduler.wake();
  await pass(time, scheduler, HOUR);
  await pass(time, scheduler, 3 * HOUR);
  expect(said()).toEqual(["09:00 schedule"]);

  await dues[0]?.onStarted();
  await pass(time, scheduler, MINUTE);
  expect(said()).toEqual(["09:00 schedule"]);
  await pass(time, scheduler, HOUR);
  expect(said()).toEqual(["09:00 schedule", "13:00 schedule"]);
});

test("a run that can't start now is retried within half a minute, and its time is not done", async () => {
  const { paths } = await scratchRoot();
  const time = holdTime();
  const { scheduler, dues, said } = start({ paths, time, assignment: hourly() });
  await scheduler.wake();
  await pass(time, scheduler, HOUR);
  dues[0]?.onNotStarted();
  await pass(time, scheduler, MINUTE / 2);
  expect(said()).toEqual(["09:00 schedule", "09:00 schedule"]);
  await dues[1]?.onStarted();
  await pass(time, scheduler, MINUTE);
  expect(said()).toHaveLength(2);
});

test("a backup deferred by a lock runs again at its time, and not twice while it runs", async () => {
  const { paths } = await scratchRoot();
  const time = holdTime();
  const assignment = hourly();
  const { scheduler, said } = start({ paths, time, assignment });
  await scheduler.wake();
  const [binding] = assignment.bindings;
  const [since, againAt] = [0, 10 * MINUTE].map((after) => new Date(time.clock.now() + after).toISOString());
  const putOff = { since: since ?? "", times: 1, againAt: againAt ?? "" };
  await writeBackupDeferral(paths, { binding: binding?.id ?? "", deferral: putOff });
  await pass(time, scheduler, 9 * MINUTE);
  expect(said()).toEqual([]);
  await pass(time, scheduler, MINUTE);
  expect(said()).toEqual(["08:10 catch-up"]);
});

test("the clock is read again every 30 s, so that a suspend is noticed", async () => {
  const { paths } = await scratchRoot();
  const time = holdTime();
  const { scheduler, said } = start({ paths, time, assignment: hourly() });
  await scheduler.wake();
  expect(time.pending()).toEqual([30_000]);
  time.jump(5 * HOUR + 10 * MINUTE);
  await pass(time, scheduler, 30_000);
  expect(said()).toEqual(["13:00 catch-up"]);
});

test("a clock set a day ahead and corrected: one catch-up, and no time is missed afterwards", async () => {
  const { paths } = await scratchRoot();
  const time = holdTime();
  const { scheduler, said, dues } = start({ paths, time, assignment: hourly() });
  await scheduler.wake();
  time.jump(25 * HOUR + 10 * MINUTE);
  await pass(time, scheduler, MINUTE);
  await dues[0]?.onStarted();
  await pass(time, scheduler, MINUTE);
  time.jump(-25 * HOUR - 10 * MINUTE);
  for (let minutes = 0; minutes < 125; minutes++) {
    await pass(time, scheduler, MINUTE);
    await dues.at(-1)?.onStarted();
  }
  expect(said()).toEqual(["09:00 catch-up", "09:00 schedule", "10:00 schedule"]);
});

test("one binding with an invalid schedule does not block the others", async () => {
  const { paths } = await scratchRoot();
  const time = holdTime();
  const assignment = hourly();
  const [good] = assignment.bindings;
  if (good === undefined) throw new Error("the assignment has one binding");
  const timerConfig = { ...good.settings.timerConfig, OnCalendar: "every full moon" };
  assignment.bindings.unshift({ ...good, id: newId(), name: "odd", settings: { ...good.settings, timerConfig } });
  const { scheduler, said, lines } = start({ paths, time, assignment });
  await scheduler.wake();
  await pass(time, scheduler, HOUR);
  expect(said()).toEqual(["09:00 schedule"]);
  expect(lines[0]).toContain("the schedule of odd can't be followed");
});

test("the next times can be read without a daemon", async () => {
  const { paths } = await scratchRoot();
  const [binding] = hourly().bindings;
  if (binding === undefined) throw new Error("the assignment has one binding");
  const now = Date.parse("2026-11-23T08:10:00.000Z");
  expect(await nextDueAt(paths, { kind: "backup", binding }, { now, zone: "UTC" })).toBe(
    Date.parse("2026-11-23T09:00:00.000Z"),
  );
  expect(
    await nextDueAt(paths, { kind: "backup", binding: { ...binding, paused: true } }, { now, zone: "UTC" }),
  ).toBeNull();
});

test("spans count from the last run, whoever started it, and from the boot: also after a restart of the daemon", async () => {
  const { paths } = await scratchRoot();
  const time = holdTime();
  const assignment = assignmentOf(newId(), 1, {
    timerConfig: { OnBootSec: "2h", OnUnitActiveSec: "6h", RandomizedDelaySec: "0" },
  });
  const boot = { id: "first", at: time.clock.now() - HOUR };
  const bootOf = (): typeof boot => ({ ...boot });
  const subject = { kind: "backup" as const, id: assignment.bindings[0]?.id ?? "" };
  const begin = async (due: DueTask | undefined): Promise<void> => {
    await writeLastRun(paths, subject, { startedAt: instant(time.clock.now()), endedAt: null });
    await due?.onStarted();
  };
  const first = start({ paths, time, assignment, bootOf });
  await first.scheduler.wake();
  await pass(time, first.scheduler, HOUR);
  await begin(first.dues[0]);
  expect(first.said()).toEqual(["09:00 schedule"]);
  first.scheduler.stop();

  const second = start({ paths, time, assignment, bootOf });
  await pass(time, second.scheduler, 2 * HOUR);
  // By hand, at 11:00.
  await begin(undefined);
  await pass(time, second.scheduler, 6 * HOUR - MINUTE);
  expect(second.said()).toEqual([]);
  await pass(time, second.scheduler, MINUTE);
  await begin(second.dues[0]);
  expect(second.said()).toEqual(["17:00 schedule"]);
  second.scheduler.stop();

  time.jump(10 * HOUR);
  Object.assign(boot, { id: "second", at: time.clock.now() });
  const third = start({ paths, time, assignment, bootOf });
  await pass(time, third.scheduler, HOUR);
  expect(third.said()).toEqual([]);
  await pass(time, third.scheduler, HOUR);
  expect(third.said()).toEqual(["05:00 schedule"]);
});
