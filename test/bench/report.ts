// What saving reports takes in the control plane, beside bare inserts of the same rows in batches of their own, on a
// file: pairs in turn. First by the length of the binding's history, then for whole requests of a host and for POSTs of
// 100 reports. `npm run bench -- report [RUNS]`, with so many runs of each of 500 bindings (120).
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runs } from "../../control/db/schema/runs.ts";
import { writeAll, type Database } from "../../control/db/transaction.ts";
import { acceptReports } from "../../control/domain/reports/reports.ts";
import { openDatabase } from "../../control/runtime/node/database.ts";
import type { RunReport } from "../../shared/report.ts";
import { declare } from "../control/declared.ts";
import { reportOf, runIdAt, snapshotAt } from "../control/reported.ts";
import { controlOn, type TestControl } from "../support/control.ts";
import { type FleetBinding, seedFleet, seedRuns } from "../support/fleet.ts";

const PAIRS = 7;
/** Reports in one measurement. */
const COUNT = 200;
const NOW = "2026-11-23T08:00:00.000Z";
const HISTORIES = [250, 2_000, 10_000];
/** The list that a backup reports has one snapshot more than the one before; once a day old ones are removed. */
const SNAPSHOTS = { least: 30, aDay: 24 };

const say = (line: string): boolean => process.stdout.write(`${line}\n`);

/** Both in milliseconds for one report. */
interface Cost {
  readonly cpu: number;
  readonly wall: number;
}

export async function benchReport([runsOfBinding = "120"]: readonly string[]): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-bench-"));
  const db = openDatabase(`file:${join(directory, "control.db")}`);
  try {
    const control = await controlOn(db, { now: NOW });
    const size = { hosts: 100, bindingsOfHost: 5, runsOfBinding: Number(runsOfBinding) };
    const fleet = await seedFleet(db, size, Date.parse(NOW));
    const results = [];
    for (const [index, history] of HISTORIES.entries()) {
      const binding = bindingAt(fleet, index * size.bindingsOfHost);
      await seedRuns(db, Date.parse(NOW), { binding: binding.id, from: size.runsOfBinding, to: history });
      const single = ofBackups(control, (reports) =>
        eachOf(reports, (report) => acceptReports(control.deps, binding.host, [report])),
      );
      results.push(
        await compare(`one report, ${history} runs of its binding`, control, { binding, ours: single, together: 1 }),
      );
    }
    const batches = bindingAt(fleet, fleet.length - 1);
    const together = ofBackups(control, (reports) =>
      eachOf(chunks(reports, 100), (chunk) => acceptReports(control.deps, batches.host, chunk)),
    );
    results.push(
      await compare("one of 100 reports in a POST", control, { binding: batches, ours: together, together: 100 }),
    );
    const host = await control.enrol("enrolled");
    const { binding } = await declare(control, host, "data");
    const request = ofBackups(control, (reports) =>
      eachOf(reports, (report) => host.send("POST", "/agent/v1/reports", { reports: [report] })),
    );
    results.push(
      await compare("one request, signed", control, { binding: { id: binding.id, host }, ours: request, together: 1 }),
    );
    say(table(results));
    say(JSON.stringify(results));
  } finally {
    db.$client.close();
    await rm(directory, { recursive: true, force: true });
  }
}

type Work = (binding: FleetBinding) => Promise<Cost>;

async function compare(
  what: string,
  control: TestControl,
  { binding, ours, together }: { binding: FleetBinding; ours: Work; together: number },
) {
  const inserts = ofBackups(control, (reports, { host }) =>
    eachOf(chunks(reports, together), (chunk) => insertBare(control.deps.db, host.id, chunk)),
  );
  await ours(binding);
  await inserts(binding);
  const pairs: { ours: Cost; bare: Cost }[] = [];
  for (let pair = 0; pair < PAIRS; pair++) pairs.push({ ours: await ours(binding), bare: await inserts(binding) });
  return {
    what,
    cpuMs: spreadOf(pairs.map((pair) => pair.ours.cpu)),
    bareCpuMs: spreadOf(pairs.map((pair) => pair.bare.cpu)),
    wallMs: spreadOf(pairs.map((pair) => pair.ours.wall)),
    bareWallMs: spreadOf(pairs.map((pair) => pair.bare.wall)),
    /** Reports per second, as a part of bare inserts per second. */
    rate: spreadOf(pairs.map((pair) => pair.bare.wall / pair.ours.wall)),
  };
}

/** Backups of a binding, a minute apart: what comes in when each is over. */
function ofBackups(control: TestControl, save: (reports: RunReport[], binding: FleetBinding) => Promise<void>): Work {
  return async (binding) => {
    const start = control.deps.clock.now();
    const reports = Array.from({ length: COUNT }, (_, index) =>
      backupOf(binding.id, start + index * 60_000, SNAPSHOTS.least + (index % SNAPSHOTS.aDay)),
    );
    control.pass(COUNT * 60_000);
    const cpu = process.cpuUsage();
    const begun = performance.now();
    await save(reports, binding);
    const wall = performance.now() - begun;
    const { user, system } = process.cpuUsage(cpu);
    return { cpu: (user + system) / 1000 / COUNT, wall: wall / COUNT };
  };
}

function backupOf(binding: string, atMs: number, length: number): RunReport {
  const at = (before: number) => new Date(atMs - before * 60_000).toISOString();
  const named = (before: number) => at(before).replaceAll(/\D/g, "").padStart(64, "0");
  const listed = Array.from({ length }, (_, before) => snapshotAt(named(before), at(before)));
  const log = "a log of usual length\n".repeat(20);
  return reportOf({ id: runIdAt(at(0)), binding, state: "succeeded", made: named(0), listed, log });
}

/** The rows as they are, without asking or keeping anything else. */
async function insertBare(db: Database, host: string, reports: readonly RunReport[]): Promise<void> {
  const rows = reports.map(({ run, sequence, log }) => ({ ...run, host, binding: "bare", sequence, log }));
  await writeAll(
    db,
    rows.map((row) => db.insert(runs).values(row)),
  );
}

async function eachOf<T>(list: readonly T[], work: (one: T) => Promise<unknown>): Promise<void> {
  for (const one of list) await work(one);
}

function chunks<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, at) => list.slice(at * size, (at + 1) * size));
}

function bindingAt(fleet: readonly FleetBinding[], index: number): FleetBinding {
  const binding = fleet[index];
  if (binding === undefined) throw new Error("the fleet is too small");
  return binding;
}

interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((left, right) => left - right);
  const at = (index: number) => Number((sorted[index] ?? Number.NaN).toFixed(3));
  return { median: at(Math.floor(sorted.length / 2)), least: at(0), most: at(sorted.length - 1) };
}

function table(results: readonly Awaited<ReturnType<typeof compare>>[]): string {
  const cell = ({ median, least, most }: Spread) => `${median} (${least}–${most})`;
  return [
    "| | CPU, ms | bare inserts | wall, ms | bare inserts | rate beside bare inserts |",
    "|---|---|---|---|---|---|",
    ...results.map(
      ({ what, cpuMs, bareCpuMs, wallMs, bareWallMs, rate }) =>
        `| ${what} | ${cell(cpuMs)} | ${cell(bareCpuMs)} | ${cell(wallMs)} | ${cell(bareWallMs)} | ${cell(rate)} |`,
    ),
  ].join("\n");
}
