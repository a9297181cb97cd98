import { expect, onTestFinished, test } from "vitest";
import { storeEngineId } from "../../agent/providers/engine-ids.ts";
import { type DueTask, startScheduler } from "../../agent/daemon/scheduler.ts";
import { scheduledOf } from "../../agent/daemon/tasks.ts";
import { changeUpkeep, readUpkeep } from "../../agent/state/upkeep-state.ts";
import type { Assignment } from "../../shared/assignment.ts";
import { Maintenance } from "../../shared/repository.ts";
import { holdTime } from "../agent/held-time.ts";
import { scratchRoot } from "../agent/scratch.ts";
import { assignmentOf, newId } from "../agent/signer.ts";

const HOUR = 3_600_000;

/** A host that maintains a repository: pruned at nine, checked at ten, and no backups by themselves. */
async function maintaining(change: Partial<Assignment["repositories"][number]> = {}) {
  const { paths } = await scratchRoot();
  const time = holdTime();
  const assignment = assignmentOf(newId(), 1, { enable: false });
  const [found] = assignment.repositories;
  if (found === undefined) throw new Error("the assignment has one repository");
  const at = (OnCalendar: string) => ({ timerConfig: { OnCalendar, RandomizedDelaySec: "0" } });
  const maintenance = Maintenance.parse({ prune: at("09:00"), check: at("10:00"), zone: "UTC" });
  const repository = Object.assign(found, { maintains: true, maintenance, ...change });
  const dues: DueTask[] = [];
  const scheduler = startScheduler({
    paths,
    ...time,
    zone: "UTC",
    log: () => undefined,
    assignment: () => assignment,
    onDue: (due) => void dues.push(due),
  });
  onTestFinished(() => scheduler.stop());
  const seen = (): Promise<void> => storeEngineId(paths, repository, "f".repeat(64));
  const pass = async (milliseconds: number): Promise<string[]> => {
    await time.advance(milliseconds);
    await scheduler.wake();
    const said = dues.splice(0).map(async ({ task, trigger, onStarted: begins }) => {
      await begins();
      return `${scheduledOf(task).name}, ${trigger}`;
    });
    return await Promise.all(said);
  };
  return { paths, time, repository, seen, pass };
}

test("a repository is pruned and checked on its own schedule by the host that maintains it, once it exists", async () => {
  const { seen, pass } = await maintaining();
  await pass(0);
  expect(await pass(24 * HOUR)).toEqual([]);
  await seen();
  await pass(0);
  expect(await pass(HOUR)).toEqual(["prune of disk, schedule"]);
  expect(await pass(HOUR)).toEqual(["check of disk, schedule"]);
  expect(await pass(22 * HOUR)).toEqual([]);
});

test.each([
  ["of another host's care is left alone", { maintains: false }, []],
  ["that is append-only here is checked, and never pruned", { appendOnly: true }, ["check of disk, schedule"]],
])("a repository %s", async (_what, change, expected) => {
  const { seen, pass } = await maintaining(change);
  await seen();
  await pass(0);
  expect([...(await pass(HOUR)), ...(await pass(HOUR))]).toEqual(expected);
});

test("upkeep deferred by another program's lock runs again at its time, and not twice while it runs", async () => {
  const { paths, time, repository, seen, pass } = await maintaining();
  await seen();
  await pass(0);
  const now = time.clock.now();
  const instantAt = (at: number): string => new Date(at).toISOString();
  const prune = { since: instantAt(now), times: 1, againAt: instantAt(now + 10 * 60_000) };
  await changeUpkeep(paths, repository.id, { prune });
  expect(await pass(9 * 60_000)).toEqual([]);
  expect(await pass(2 * 60_000)).toEqual(["prune of disk, catch-up"]);
  expect(await pass(60_000)).toEqual([]);
  expect((await readUpkeep(paths, repository.id)).prune).toMatchObject({ since: prune.since, times: 1 });
});
