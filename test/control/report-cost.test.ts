import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { acceptReports } from "../../control/domain/reports/reports.ts";
import { sweepLateBackups } from "../../control/domain/lateness/lateness.ts";
import type { RunReport } from "../../shared/report.ts";
import type { RunState } from "../../shared/run.ts";
import { controlOn, emptyDatabase, type TestControl } from "../support/control.ts";
import { countedDatabase, type Counted } from "../support/counted-database.ts";
import { type FleetBinding, seedFleet, seedRuns } from "../support/fleet.ts";
import { IS_WHOLE } from "../support/engines.ts";
import { recordedStatements } from "../support/recorded-statements.ts";
import { reportOf, runIdAt, snapshotAt } from "./reported.ts";

/* What a report costs the database: the same for a fleet of any age. */

const NOW = "2026-11-23T08:00:00.000Z";
const HOUR_MS = 3_600_000;
/** `npm test` plays an hour of a few hosts; the whole is a day of a hundred, after two and a half days of history. */
const PLAYED = IS_WHOLE
  ? { hosts: 100, bindings: 500, hours: 24, history: 120 }
  : { hosts: 10, bindings: 10, hours: 2, history: 20 };

test(
  "a report reads and writes a few rows, however long the history is",
  async () => {
    const { db, costOf } = await countedDatabase();
    const control = await controlOn(db, { now: NOW });
    const size = { hosts: PLAYED.hosts, bindingsOfHost: 5, runsOfBinding: PLAYED.history };
    const fleet = await seedFleet(db, size, Date.parse(NOW));
    for (let hour = 0; hour < PLAYED.hours; hour++) {
      const most = await playHour(control, fleet.slice(0, PLAYED.bindings), costOf);
      expect(most.rowsRead).toBeLessThanOrEqual(50);
      expect(most.rowsWritten).toBeLessThanOrEqual(20);
      expect(most.statements).toBeLessThanOrEqual(20);
    }
    const few = fleet.slice(0, 3);
    const young = await playHour(control, few, costOf);
    await seedRuns(db, control.deps.clock.now() - 2 * PLAYED.history * HOUR_MS, { from: 0, to: PLAYED.history * 9 });
    expect(await playHour(control, few, costOf)).toEqual(young);
  },
  IS_WHOLE ? 900_000 : 30_000,
);

/** Every binding makes its hourly backup; one in five fails. @returns the most that one report cost */
async function playHour(
  control: TestControl,
  bindings: readonly FleetBinding[],
  costOf: (work: () => Promise<unknown>) => Promise<Counted>,
): Promise<Counted> {
  control.pass(HOUR_MS);
  const most: Counted = { statements: 0, rowsRead: 0, rowsWritten: 0 };
  for (const [index, binding] of bindings.entries()) {
    for (const report of backupReports(control, binding, index % 5 === 4 ? "failed" : "succeeded")) {
      const cost = await costOf(() => acceptReports(control.deps, binding.host, [report]));
      for (const name of ["statements", "rowsRead", "rowsWritten"] as const)
        most[name] = Math.max(most[name], cost[name]);
    }
  }
  return most;
}

/** What an agent sends of one backup now. */
function backupReports({ deps }: TestControl, { id: binding }: FleetBinding, end: RunState): RunReport[] {
  const id = runIdAt(new Date(deps.clock.now()).toISOString());
  return (["running", end] as const).map((state, index) => reportOf({ id, binding, state, sequence: index + 1 }));
}

test("a list of snapshots costs what it changes", async () => {
  const { db, costOf } = await countedDatabase();
  const control = await controlOn(db, { now: NOW });
  const [binding] = await seedFleet(db, { hosts: 1, bindingsOfHost: 1, runsOfBinding: 1 }, Date.parse(NOW));
  if (binding === undefined) throw new Error("the fleet is empty");
  const snapshots = Array.from({ length: 301 }, (_, index) => snapshotAt(`${index}`.padStart(64, "0"), NOW));
  const backup = async (listed: typeof snapshots | null, made?: string) => {
    control.pass(HOUR_MS);
    const id = runIdAt(new Date(control.deps.clock.now()).toISOString());
    const report = reportOf({ id, binding: binding.id, state: "succeeded", listed, ...(made && { made }) });
    return (await costOf(() => acceptReports(control.deps, binding.host, [report]))).rowsWritten;
  };
  await backup(snapshots.slice(0, 300));
  const none = await backup(null);
  expect(await backup(snapshots.slice(0, 300).toReversed())).toBe(none);
  // A row and its five indexes.
  expect(await backup(snapshots, snapshots[300]?.id)).toBeLessThanOrEqual(none + 6);
  // Compared as a whole, but only what differs is written.
  expect(await backup(snapshots.slice(1))).toBeLessThanOrEqual(none + 6);
  const stored = await db.all<{ count: number }>(sql`select count(*) as count from snapshots`);
  expect(stored).toEqual([{ count: 300 }]);
});

test.each([{ isAnalysed: false }, { isAnalysed: true }])(
  "no statement of a report, of lateness or of the list of bindings searches the history (analysed: $isAnalysed)",
  async ({ isAnalysed }) => {
    const db = await emptyDatabase("file");
    const control = await controlOn(db, { now: NOW });
    const fleet = await seedFleet(db, { hosts: 12, bindingsOfHost: 3, runsOfBinding: 60 }, Date.parse(NOW));
    for (const binding of fleet.slice(0, 20))
      await acceptReports(control.deps, binding.host, backupReports(control, binding, "failed"));
    if (isAnalysed) await db.run(sql`analyze`);
    const [first, second] = fleet;
    if (first === undefined || second === undefined) throw new Error("the fleet is empty");
    const { plansOf } = recordedStatements(db.$client);

    const late = backupReports(control, first, "interrupted");
    control.pass(HOUR_MS);
    const plans = await plansOf(async () => {
      const good = backupReports(control, first, "succeeded");
      const check = reportOf({ id: runIdAt(NOW), binding: second.id, kind: "check", state: "failed" });
      await acceptReports(control.deps, first.host, [...good, check]);
      await acceptReports(control.deps, first.host, late);
      await sweepLateBackups(control.deps);
    });
    expect(plans.length).toBeGreaterThan(25);
    const steps = plans.flat();
    expect(
      steps.filter((step) => /^SCAN (runs|newest_runs|incidents|snapshots|bindings|orders|other)/.test(step)),
    ).toEqual([]);
    const ofRuns = steps.filter((step) => / runs /.test(step));
    expect(ofRuns.length).toBeGreaterThan(3);
    for (const step of ofRuns)
      expect(step).toMatch(/autoindex_runs_1 \(id=\?\)|INDEX runs_binding_kind \(binding=\? AND kind=\?/);

    const listed = await plansOf(() => control.admin.send("GET", "/api/v1/bindings?limit=500"));
    const ofNewest = listed.flat().filter((step) => /^S.*newest_runs/.test(step));
    expect(ofNewest.length).toBeGreaterThan(1);
    for (const step of ofNewest) expect(step).toMatch(/INDEX sqlite_autoindex_newest_runs_1 \(subject=\? AND kind=\?/);
    expect(listed.flat().filter((step) => / runs /.test(step))).toEqual([]);
  },
);
