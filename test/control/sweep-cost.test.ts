import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { expireEnrollments } from "../../control/domain/hosts/enrollments.ts";
import { sweepClones } from "../../control/domain/hosts/instances.ts";
import { remindOfIncidents, settleIncidents } from "../../control/domain/incidents/sweep.ts";
import { sweepQuotas } from "../../control/domain/reports/quota.ts";
import { expireOrders } from "../../control/domain/runs/orders.ts";
import { protectRows } from "../../control/domain/service/row-protection.ts";
import { sweepHealth } from "../../control/domain/watch/sweep.ts";
import { dispatch } from "../../control/notify/dispatch.ts";
import { tick } from "../../control/tick.ts";
import { instant } from "../../shared/ids.ts";
import { controlOn, emptyDatabase } from "../support/control.ts";
import { countedDatabase } from "../support/counted-database.ts";
import { IS_WHOLE } from "../support/engines.ts";
import { seedFleet } from "../support/fleet.ts";
import { recordedStatements } from "../support/recorded-statements.ts";

const NOW = "2026-11-23T08:00:00.000Z";
const MINUTE = 60_000;
const HOSTS = IS_WHOLE ? 1000 : 200;

/** A fleet of connected hosts with a history, on a libSQL server that counts. */
async function countedFleet(hosts: number, runsOfBinding: number) {
  const counted = await countedDatabase();
  const { db } = counted;
  const control = await controlOn(db, { now: NOW });
  await seedFleet(db, { hosts, bindingsOfHost: 5, runsOfBinding }, Date.parse(NOW));
  await db.run(sql`insert into row_counts select host, 'runs', count(*), max(id) from runs group by host`);
  await db.run(sql`delete from marks`);
  await protectRows(control.deps, { mayBegin: true });
  const set = (at: string) =>
    db.run(sql`update hosts set "connectionId" = id, "connectedAt" = ${at}, "lastSeenAt" = ${at}`);
  await set(NOW);
  return { ...counted, control, set };
}

test("a sweep with nothing due is three statements and reads no more for more hosts or a longer history", async () => {
  const costs = [];
  for (const [hosts, runs] of [
    [IS_WHOLE ? 1000 : 200, 2],
    [20, 100],
  ] as const) {
    const { control, costOf } = await countedFleet(hosts, runs);
    // Every table has its turn to be looked at, and a few hosts have theirs to be counted.
    for (let turn = 0; turn < 14; turn++) {
      control.pass(MINUTE / 2);
      costs.push(await costOf(() => tick(control.deps)));
    }
  }
  expect(Math.max(...costs.map(({ statements }) => statements))).toBeLessThanOrEqual(3);
  expect(Math.max(...costs.map(({ rowsRead }) => rowsRead))).toBeLessThanOrEqual(100);
});

/** These two indexes hold nothing but what is due; and the first id of a host is the first of its index. */
const DUE_ONLY = /^SCAN hosts USING (INDEX hosts_(back|clock)|COVERING INDEX sqlite_autoindex_hosts_1)$/;
const WHOLE =
  /^SCAN (hosts|bindings|runs|incidents|deliveries|audit|orders|refusals|row_counts|newest_runs|one|other)\b/;

test("what is due is found by index, also by the steps themselves, on an analyzed database and on one that is not", async () => {
  const db = await emptyDatabase("file");
  const control = await controlOn(db, { now: NOW });
  const { deps } = control;
  await seedFleet(db, { hosts: 60, bindingsOfHost: 5, runsOfBinding: 60 }, Date.parse(NOW));
  await db.run(sql`update hosts set "connectionId" = id, "connectedAt" = ${NOW}, "lastSeenAt" = ${NOW}`);
  await db.run(sql`update bindings set "alertAt" = ${NOW}`);
  const { plansOf } = recordedStatements(db.$client);
  for (const isAnalyzed of [false, true]) {
    if (isAnalyzed) await db.run(sql`analyze`);
    control.pass(20 * MINUTE);
    const plans = await plansOf(async () => {
      await tick(deps);
      for (const step of [sweepHealth, settleIncidents, remindOfIncidents, sweepQuotas, sweepClones, expireOrders])
        await step(deps);
      await expireEnrollments(deps);
      await dispatch(deps);
    });
    expect(plans.length).toBeGreaterThan(30);
    expect(plans.flat().filter((step) => WHOLE.test(step) && !DUE_ONLY.test(step))).toEqual([]);
  }
});

test("when the sockets of many hosts are gone at once, each sweep does a part, and the owner is told once of each", async () => {
  const { control, db, callsOf, set } = await countedFleet(HOSTS, 1);
  const post = async () => ({ status: 204 });
  const deps = { ...control.deps, post };
  await control.admin.send("POST", "/api/v1/channels", { name: "ops", kind: "webhook", url: "http://127.0.0.1/hook" });
  await tick(deps);
  for (let minute = 0; minute < 14; minute += 2) {
    control.pass(2 * MINUTE);
    await tick(deps);
  }
  await set(instant(control.deps.clock.now()));
  for (let minute = 0; minute < 14; minute++) {
    control.pass(MINUTE);
    await tick(deps);
  }
  const told = () =>
    db.all<{ type: string; count: number }>(sql`select type, count(*) as count from deliveries
    where state = 'delivered' group by type order by type`);
  expect(await told()).toEqual([]);
  control.hubCalls.length = 0;
  let sweeps = 0;
  for (; (await told())[0]?.count !== HOSTS; sweeps++) {
    control.pass(MINUTE / 2);
    expect(await callsOf(() => tick(deps))).toBeLessThanOrEqual(25);
    expect(sweeps).toBeLessThan(25);
  }
  expect(sweeps).toBe(1 + HOSTS / 50);
  expect(new Set(control.hubCalls).size).toBe(HOSTS);
  expect(control.hubCalls).toHaveLength(HOSTS);
  // Those that have been told of cost nothing any more.
  control.pass(MINUTE / 2);
  expect(await callsOf(() => tick(deps))).toBeLessThanOrEqual(3);

  // They are back, all at once.
  await set(instant(control.deps.clock.now()));
  for (sweeps = 0; (await told())[1]?.count !== HOSTS; sweeps++) {
    control.pass(MINUTE / 2);
    expect(await callsOf(() => tick(deps))).toBeLessThanOrEqual(25);
    expect(sweeps).toBeLessThan(25);
  }
  expect(await told()).toEqual([
    { type: "host.offline", count: HOSTS },
    { type: "host.online", count: HOSTS },
  ]);
  expect(control.wakes()).toBe(0);
});
