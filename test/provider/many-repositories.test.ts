import { rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { listSnapshots } from "../../agent/runs.ts";
import { startScheduler } from "../../agent/daemon/scheduler.ts";
import { Settings } from "../../shared/binding.ts";
import { holdTime } from "../agent/held-time.ts";
import { newId, openEngineHost, useEngine, type Work } from "../engine/engine-host.ts";
import { describeTree, makeOddTree } from "../engine/odd-tree.ts";
import { oldestAndNewest } from "../support/engines.ts";

const HOUR = 3_600_000;

it("one contract is backed up to several repositories, with both tools, each on its schedule, and restored from each", async () => {
  const [[restic], [borg]] = [oldestAndNewest("restic"), oldestAndNewest("borg")];
  useEngine(borg);
  const host = await openEngineHost(restic);
  onTestFinished(() => host.close());
  const data = join(host.root, "data");
  makeOddTree(data);
  const before = describeTree(data);

  const { assignment, binding } = host.work();
  const [repository] = assignment.repositories;
  if (repository === undefined) throw new Error("no repository");
  const places = ["restic", "borg"] as const;
  const repositories = places.map((provider, index) => {
    const location = join(host.root, `srv/${provider}-${index}`);
    return { ...repository, id: newId(), name: `place-${index}`, provider, location, maintains: false };
  });
  const bindings = repositories.map(({ id }, index) => ({
    ...binding,
    id: newId(),
    name: index === 0 ? "myservice" : `myservice_${index + 1}`,
    repository: id,
    settings: Settings.parse({
      retention: { keep_last: 5 },
      performance: { niceness: 0 },
      timerConfig: { OnCalendar: `*-*-* ${5 + index}:00:00`, RandomizedDelaySec: "0" },
      zone: "UTC",
    }),
  }));
  const all = { ...assignment, repositories, bindings };
  const workOf = (index: number): Work => ({ assignment: all, binding: bindings[index] ?? binding });

  const time = holdTime(Date.parse("2026-11-23T04:30:00.000Z"));
  const due: string[] = [];
  const running: Promise<unknown>[] = [];
  const scheduler = startScheduler({
    paths: host.paths,
    ...time,
    zone: "UTC",
    log: () => undefined,
    assignment: () => all,
    onDue({ task, onStarted: begins }) {
      // A time is said again until its run has begun.
      if (task.kind !== "backup" || due.includes(task.binding.name)) return;
      due.push(task.binding.name);
      running.push(begins().then(() => host.backup({ assignment: all, binding: task.binding })));
    },
  });
  onTestFinished(() => scheduler.stop());
  await scheduler.wake();
  await time.advance(HOUR);
  await scheduler.wake();
  expect(due).toEqual(["myservice"]);
  await time.advance(HOUR);
  await scheduler.wake();
  expect(due).toEqual(["myservice", "myservice_2"]);
  const outcomes = await Promise.all(running);
  expect(outcomes).toMatchObject(places.map(() => ({ state: "succeeded", failure: null })));

  await rm(data, { recursive: true });
  for (const index of places.keys()) {
    expect(await listSnapshots(host.deps, workOf(index))).toMatchObject([{ paths: [data] }]);
    const target = join(host.root, `restored-${index}`);
    expect(await host.restore(workOf(index), { target })).toMatchObject({ state: "succeeded", failure: null });
    expect(describeTree(join(target, data))).toEqual(before);
  }
});
