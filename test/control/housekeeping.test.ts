import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { History } from "../../shared/history.ts";
import { instant, uuidv7 } from "../../shared/ids.ts";
import { Run, RunWithLog } from "../../shared/run.ts";
import { enrollments, refusals } from "../../control/db/schema/hosts.ts";
import { incidents } from "../../control/db/schema/incidents.ts";
import { deliveries } from "../../control/db/schema/notifications.ts";
import { orders, runDays, runs } from "../../control/db/schema/runs.ts";
import { audit, rowCounts, tokens } from "../../control/db/schema/service.ts";
import { writeAll } from "../../control/db/transaction.ts";
import { BATCH_SIZE, expiryQueries, removeExpired, MAX_ROWS } from "../../control/domain/service/housekeeping.ts";
import { diceOf } from "../support/random.ts";
import { DATABASES, testControl, type TestControl } from "../support/control.ts";
import { declare } from "./declared.ts";

const DAY = 86_400_000;
const START = Date.parse("2026-11-23T08:00:00.000Z");

type Row = typeof runs.$inferInsert;

/** A run that the host told of when it was over, `day` days after the start. */
function runOn(day: number, more: Partial<Row> & Pick<Row, "host" | "binding">): Row {
  const at = instant(START + day * DAY);
  return {
    id: uuidv7(START + day * DAY, crypto.getRandomValues(new Uint8Array(10))),
    repository: null,
    kind: "backup",
    trigger: "schedule",
    state: "succeeded",
    sequence: 2,
    startedAt: at,
    finishedAt: at,
    heardAt: at,
    warnings: [],
    stats: { bytesAdded: 1000 + Math.floor(day) },
    ...more,
  };
}

async function fill({ deps }: TestControl, rows: readonly Row[]): Promise<void> {
  for (let from = 0; from < rows.length; from += 500) await deps.db.insert(runs).values(rows.slice(from, from + 500));
}

/** Until nothing changes any more. */
async function tidy(control: TestControl): Promise<void> {
  for (let before = -1; ;) {
    await removeExpired(control.deps);
    const rows = await rowsIn(control);
    if (rows === before) return;
    before = rows;
  }
}

async function rowsIn({ deps }: TestControl): Promise<number> {
  const tables = [runs, runDays, audit, deliveries, incidents, refusals, orders, tokens, enrollments];
  const counts = await Promise.all(tables.map((table) => deps.db.$count(table)));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** What the whole history of a binding says, page by page. */
async function totals({ admin }: TestControl, binding: string) {
  const sum = { days: 0, succeeded: 0, warned: 0, failed: 0, cancelled: 0, interrupted: 0, bytesAdded: 0 };
  for (let before: string | null = ""; before !== null;) {
    const query: string = before === "" ? "?limit=200" : `?limit=200&before=${before}`;
    const { items, next }: History = await admin.ask(History, "GET", `/api/v1/bindings/${binding}/history${query}`);
    for (const { day: _day, kind: _kind, ...counts } of items) {
      sum.days++;
      for (const [name, count] of Object.entries(counts)) sum[name as keyof typeof counts] += count;
    }
    before = next;
  }
  return sum;
}

test("500 days of runs: 400 are stored one by one, the others as daily totals, and none is counted twice or lost", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const [photos, mail] = [
    (await declare(control, host, "photos")).binding,
    (await declare(control, host, "mail")).binding,
  ];
  const dice = diceOf(7);
  const states = ["succeeded", "succeeded", "warned", "failed", "cancelled", "interrupted"] as const;
  const rows = [photos, mail].flatMap((binding) =>
    Array.from({ length: 1000 }, (_, index) =>
      runOn(index / 2, { host: host.id, binding: binding.id, state: dice.pick(states) }),
    ),
  );
  await fill(control, rows);
  control.pass(500 * DAY);
  const before = [await totals(control, photos.id), await totals(control, mail.id)];
  expect(before[0]).toMatchObject({ days: 500 });

  // Cut off before it removed what it had added, then ten at once.
  await control.deps.db.run(sql`create trigger cut before delete on runs begin select raise(abort, 'cut off'); end`);
  await expect(removeExpired(control.deps)).rejects.toThrow();
  expect(await control.deps.db.$count(runDays)).toBe(0);
  await control.deps.db.run(sql`drop trigger cut`);
  await Promise.all(Array.from({ length: 10 }, () => removeExpired(control.deps)));
  await tidy(control);
  expect([await totals(control, photos.id), await totals(control, mail.id)]).toEqual(before);
  const { items } = await control.admin.ask(page(Run), "GET", `/api/v1/runs?binding=${photos.id}&limit=500`);
  expect(items.length).toBeGreaterThan(400);
  expect(await control.deps.db.$count(runs)).toBe(1600);
  expect(await control.deps.db.$count(runDays)).toBe(200);
});

test("runs a binding's state depends on are never removed: the newest hundred, the last good, the first bad after it", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding } = await declare(control, host, "photos");
  const gone = "01936f0e-0000-7000-8000-000000000000";
  const of = { host: host.id, binding: binding.id };
  const good = runOn(0, of);
  const failures = Array.from({ length: 300 }, (_, index) => runOn(1 + index / 10, { ...of, state: "failed" }));
  await fill(control, [runOn(-1, of), good, ...failures, ...[1, 2].map((day) => runOn(day, { ...of, binding: gone }))]);
  control.pass(2000 * DAY);
  const read = () => control.admin.ask(Binding, "GET", `/api/v1/bindings/${binding.id}`);
  const before = await read();
  await tidy(control);
  expect(await read()).toEqual({ ...before, nextRunAt: expect.any(String) });
  expect(await control.deps.db.$count(runs)).toBe(102);
  const kept = await control.deps.db.select({ id: runs.id }).from(runs).orderBy(runs.id);
  expect(kept.slice(0, 2)).toEqual([{ id: good.id }, { id: failures[0]?.id }]);
  expect(await control.deps.db.$count(runs, sql`binding = ${gone}`)).toBe(0);
});

test("runs reported with a wrong clock are kept as long as others, and a running run is not touched", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding } = await declare(control, host, "photos");
  const of = { host: host.id, binding: binding.id };
  const heardAt = instant(START);
  const from1970 = Array.from({ length: 200 }, (_, index) => runOn(-20_000 + index, { ...of, heardAt }));
  await fill(control, [...from1970, runOn(-1, { ...of, state: "running" })]);
  control.pass(399 * DAY);
  await tidy(control);
  expect(await control.deps.db.$count(runs)).toBe(201);
  control.pass(2 * DAY);
  await tidy(control);
  expect(await control.deps.db.$count(runs)).toBe(101);
  expect(await control.deps.db.$count(runs, sql`state = 'running'`)).toBe(1);
});

test("absurd numbers from a host never overflow a sum", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding } = await declare(control, host, "photos");
  const stats = { bytesAdded: Number.MAX_SAFE_INTEGER };
  const of = { host: host.id, binding: binding.id, stats };
  await fill(
    control,
    Array.from({ length: 1300 }, () => runOn(0, of)),
  );
  control.pass(401 * DAY);
  await tidy(control);
  const { items } = await control.admin.ask(History, "GET", `/api/v1/bindings/${binding.id}/history`);
  expect(items).toMatchObject([{ succeeded: 1300, bytesAdded: Number.MAX_SAFE_INTEGER }]);
});

test.each(DATABASES)(
  "on a %s: after 30 days a long log keeps its end; what failed keeps all of it",
  async (database) => {
    const control = await testControl({ database });
    const host = await control.enrol("one");
    const { binding } = await declare(control, host, "photos");
    const of = { host: host.id, binding: binding.id, log: `${"x".repeat(60_000)}\nthe end` };
    const plan = [{ snapshot: "a", takenAt: instant(START), keep: true, reasons: ["last"] }];
    const [good, bad] = [runOn(0, { ...of, plan }), runOn(0, { ...of, state: "failed" })];
    await fill(control, [good, bad]);
    const read = (row: Row) => control.admin.ask(RunWithLog, "GET", `/api/v1/runs/${row.id}`);
    control.pass(29 * DAY);
    await removeExpired(control.deps);
    expect((await read(good)).log).toBe(of.log);
    control.pass(2 * DAY);
    await removeExpired(control.deps);
    const { log, plan: left } = await read(good);
    expect(log.length).toBeLessThanOrEqual(4096);
    expect(log).toMatch(/^\[older lines were removed[^]*the end$/);
    expect(left).toBeNull();
    expect((await read(bad)).log).toBe(of.log);
  },
);

test("however many years pass, the rows do not grow", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding } = await declare(control, host, "photos");
  const counts: number[] = [];
  for (let year = 0; year < 9; year++) {
    for (let day = 0; day < 365; day += 73) {
      const from = year * 365 + day;
      const some = Array.from({ length: 12 }, (_, index) =>
        runOn(from + index, { host: host.id, binding: binding.id }),
      );
      await fill(control, some);
      await leaveTraces(control, START + from * DAY, host.id);
      control.pass(73 * DAY);
      await removeExpired(control.deps);
    }
    await tidy(control);
    counts.push(await rowsIn(control));
  }
  expect(counts.at(-1)).toBe(counts.at(-2));
  expect(counts.at(-1)).toBeLessThan(500);
});

test("one host can't fill the database with runs and refusals, and the audit is limited", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const series = (from: number, to: number) =>
    sql`with recursive n(i) as (select ${from} union all select i + 1 from n where i < ${to})`;
  const id = sql`printf('01a2076b-%04x-7%03x-8000-000000000000', i / 4096, i % 4096)`;
  await control.deps.db
    .run(sql`${series(1, MAX_ROWS.runsOfHost + 700)} insert into runs (id, host, kind, trigger, state, warnings, "heardAt", "startedAt")
    select ${id}, ${host.id}, 'prune', 'manual', 'failed', '[]', ${instant(START)}, ${instant(START)} from n`);
  await control.deps.db
    .run(sql`${series(1, MAX_ROWS.refusalsOfHost + 300)} insert into refusals (id, host, at, code, subject, message)
    select ${id}, ${host.id}, ${instant(START)}, 'policy.hooks', 's', 'm' from n`);
  await control.deps.db
    .run(sql`${series(1, MAX_ROWS.audit + 300)} insert into audit (id, at, by, "byName", "byKind", method, route, status, sequence)
    select ${id}, ${instant(START)}, 'x', 'x', 'token', 'POST', '/', 200, 1000 + i from n`);
  await removeExpired(control.deps);
  expect(await control.deps.db.$count(runs)).toBe(MAX_ROWS.runsOfHost + 700 - BATCH_SIZE);
  await tidy(control);
  expect(await control.deps.db.$count(runs)).toBe(MAX_ROWS.runsOfHost);
  expect(await control.deps.db.$count(refusals)).toBe(MAX_ROWS.refusalsOfHost);
  expect(await control.deps.db.$count(audit)).toBe(MAX_ROWS.audit);
});

test("every host has its turn to be counted, whatever the interval, and each row counts once", async () => {
  const control = await testControl();
  const ids: string[] = [];
  for (const name of ["a", "b", "c", "d"]) {
    const { id } = await control.enrol(name);
    await fill(control, [runOn(0, { host: id, binding: null }), runOn(1, { host: id, binding: null })]);
    ids.push(id);
  }
  const counts = async () => (await control.deps.db.select().from(rowCounts)).map(({ host, rows }) => ({ host, rows }));
  for (let minute = 0; minute < ids.length; minute++) {
    control.pass(60_000);
    await Promise.all([1, 2, 3].map(() => removeExpired(control.deps)));
  }
  expect(await counts()).toEqual(ids.map((host) => ({ host, rows: 2 })));
  // One more of each is added in its next turn. When they are removed, they are taken off.
  await fill(
    control,
    ids.map((host) => runOn(2, { host, binding: null })),
  );
  await tidy(control);
  for (const _host of ids) await removeExpired(control.deps);
  expect(await counts()).toEqual(ids.map((host) => ({ host, rows: 3 })));
  control.pass(500 * DAY);
  await tidy(control);
  expect(await counts()).toEqual(ids.map((host) => ({ host, rows: 0 })));
});

test("no housekeeping query reads a whole table: each uses an index", async () => {
  const control = await testControl();
  for (const query of expiryQueries(control.deps.clock.now())) {
    const plan = await control.deps.db.all<{ detail: string }>(sql`explain query plan ${query}`);
    const lines = plan.map(({ detail }) => detail);
    // What is counted is counted along an index that holds nothing else, and to a hundred at most.
    const whole = lines.filter(
      (line) => line.startsWith("SCAN") && !/USING COVERING INDEX|SCAN (\(subquery|CONSTANT ROW|turn$)/.test(line),
    );
    expect(whole).toEqual([]);
    // An index by state or kind finds most of all runs.
    expect(lines.filter((line) => /^SEARCH \w+ USING (COVERING )?INDEX \w+ \((state|kind)=\?\)/.test(line))).toEqual(
      [],
    );
  }
});

/** One of everything that time leaves behind. */
async function leaveTraces({ deps: { db } }: TestControl, at: number, host: string): Promise<void> {
  const id = uuidv7(at, crypto.getRandomValues(new Uint8Array(10)));
  const when = instant(at);
  const payload = { type: "run.failed" as const, timestamp: when, data: {} };
  const another = uuidv7(at + 1, crypto.getRandomValues(new Uint8Array(10)));
  const delivery = { channel: id, type: "run.failed" as const, payload, createdAt: when };
  await writeAll(db, [
    db.insert(deliveries).values({ ...delivery, id, state: "delivered" }),
    db.insert(deliveries).values({ ...delivery, id: another, state: "failed" }),
    db.insert(incidents).values({
      id,
      kind: "binding.failing",
      key: id,
      summary: "s",
      timeline: [],
      openedAt: when,
      closedAt: when,
    }),
    db.insert(refusals).values({ id, host, at: when, code: "policy.hooks", subject: "s", message: "m" }),
    db.insert(orders).values({ id, host, kind: "backup", run: id, issuedAt: when, expiresAt: when, closedAt: when }),
    db.insert(tokens).values({ id, name: id, scope: "read", hash: id, expiresAt: when, createdAt: when }),
    db.insert(audit).values({
      id,
      at: when,
      by: id,
      byName: "x",
      byKind: "token",
      method: "POST",
      route: "/",
      status: 200,
    }),
  ]);
}
