import { eq, sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { MIGRATIONS } from "../../control/db/migrations.ts";
import { bindings } from "../../control/db/schema/contracts.ts";
import { newestRuns, runs } from "../../control/db/schema/runs.ts";
import { writeAll } from "../../control/db/transaction.ts";
import { sweepLateBackups } from "../../control/domain/lateness/lateness.ts";
import { Binding } from "../../shared/binding.ts";
import type { RunReport } from "../../shared/report.ts";
import { RunKind, type RunState } from "../../shared/run.ts";
import { controlOn, emptyDatabase, type TestControl } from "../support/control.ts";
import { declare } from "./declared.ts";
import { reportOf, runIdAt } from "./reported.ts";
import { send, subscribedHost, notifiedTypes } from "./subscribed-host.ts";

const ROUNDS = 12;

/** What is kept, as the migration works it out from the runs alone. */
async function rebuilt({ deps: { db } }: TestControl) {
  const migration = MIGRATIONS.find(({ tag }) => tag.endsWith("_add_newest_runs"));
  const kept = await stored({ deps: { db } });
  await db.delete(newestRuns);
  const [, , ...fill] = migration?.statements ?? [];
  await writeAll(
    db,
    fill.map((statement) => db.run(sql.raw(statement))),
  );
  return { kept, found: await stored({ deps: { db } }) };
}

function stored({ deps: { db } }: { deps: Pick<TestControl["deps"], "db"> }) {
  return db.select().from(newestRuns).orderBy(newestRuns.subject, newestRuns.kind, newestRuns.host);
}

test("whatever order reports arrive in, what is kept is what the history says", async () => {
  const control = await controlOn(await emptyDatabase("file"), { now: "2024-03-01T00:00:00.000Z" });
  const host = await control.enrol("one");
  const { binding, repository } = await declare(control, host, "photos");
  let seed = 7;
  const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  for (let round = 0; round < ROUNDS; round++) {
    const reports = Array.from({ length: 8 }, () => reportsOfRun()).flat();
    while (reports.length > 0) {
      const sent = Array.from({ length: 1 + random(4) }, () => reports.splice(random(reports.length), 1)).flat();
      await send(host, ...sent);
    }
    const { kept, found } = await rebuilt(control);
    expect(kept.length).toBeGreaterThan(1);
    expect(kept).toEqual(found);
  }

  /** Its start and its end; an interruption may turn out to be something else. */
  function reportsOfRun(): RunReport[] {
    const kind = pick(RunKind.options);
    const id = runIdAt(new Date(Date.parse("2024-01-01") + random(40) * 3_600_000).toISOString());
    const end = pick<RunState>(["succeeded", "warned", "failed", "failed", "interrupted", "cancelled"]);
    const other = end === "interrupted" ? [pick<RunState>(["succeeded", "interrupted", "cancelled", "running"])] : [];
    const found = kind === "backup" && random(3) === 0 ? { suspicious: "empty" } : {};
    return ["running" as const, end, ...other].map((state, index) => {
      const suspicious = state === "running" ? {} : found;
      const report = reportOf({ id, binding: binding.id, kind, state, sequence: index + 1, ...suspicious });
      return kind === "check" || kind === "prune"
        ? { ...report, run: { ...report.run, binding: null, repository: repository.id } }
        : report;
    });
  }
});

test("health, lateness and failures in a row need no history", async () => {
  const { control, host, binding } = await subscribedHost();
  const settings = { alerts: { failures: 3 }, timerConfig: { OnCalendar: [], OnUnitInactiveSec: "1d" } };
  await control.admin.ask(Binding, "PATCH", `/api/v1/bindings/${binding.id}`, { settings });
  const backup = (at: string, state: RunState) => send(host, reportOf({ id: runIdAt(at), binding: binding.id, state }));
  const shown = () => control.admin.ask(Binding, "GET", `/api/v1/bindings/${binding.id}`);
  const alertAt = async () => {
    await sweepLateBackups(control.deps);
    const [row] = await control.deps.db.select().from(bindings).where(eq(bindings.id, binding.id));
    return row?.alertAt;
  };
  await backup("2026-11-23T05:00:00.000Z", "succeeded");
  await backup("2026-11-23T06:00:00.000Z", "failed");
  await backup("2026-11-23T07:00:00.000Z", "interrupted");
  const before = [await shown(), await alertAt()];
  expect(before[0]).toMatchObject({ health: "failing", lastSuccessAt: "2026-11-23T05:01:00.000Z" });

  await control.deps.db.delete(runs);
  expect([await shown(), await alertAt()]).toEqual(before);
  await backup("2026-11-23T07:30:00.000Z", "failed");
  expect(await notifiedTypes(control)).toEqual(["run.failed"]);
});

test("a running backup is not late, until it ends", async () => {
  const { control, host, binding } = await subscribedHost();
  const id = runIdAt("2026-11-23T07:59:00.000Z");
  const running = async () => {
    const [row] = await stored(control);
    return row?.running;
  };
  await send(host, reportOf({ id, binding: binding.id, state: "running" }));
  expect(await running()).toBe(id);
  await send(host, reportOf({ id: runIdAt("2026-11-23T07:00:00.000Z"), binding: binding.id, state: "failed" }));
  expect(await running()).toBe(id);
  await send(host, reportOf({ id, binding: binding.id, state: "cancelled", sequence: 2 }));
  expect(await running()).toBeNull();
});

test("nothing is kept of a deleted binding", async () => {
  const { control, host, binding } = await subscribedHost();
  const backup = (at: string) => send(host, reportOf({ id: runIdAt(at), binding: binding.id, state: "failed" }));
  await backup("2026-11-23T07:00:00.000Z");
  expect(await stored(control)).toHaveLength(1);
  await control.admin.send("DELETE", `/api/v1/bindings/${binding.id}`);
  expect(await stored(control)).toEqual([]);
  await backup("2026-11-23T07:30:00.000Z");
  expect(await stored(control)).toEqual([]);
});
