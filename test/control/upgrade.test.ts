import { sql, type SQL } from "drizzle-orm";
import { describe, expect, test } from "vitest";
import { migrate } from "../../control/db/migrate.ts";
import { MIGRATIONS } from "../../control/db/migrations.ts";
import { bindings, contracts, repositories } from "../../control/db/schema/contracts.ts";
import { channels, deliveries } from "../../control/db/schema/notifications.ts";
import { hosts } from "../../control/db/schema/hosts.ts";
import { orders, runs } from "../../control/db/schema/runs.ts";
import { rowCounts } from "../../control/db/schema/service.ts";
import { writeAll } from "../../control/db/transaction.ts";
import { toContract } from "../../control/domain/contracts/rows.ts";
import { protectRows } from "../../control/domain/service/row-protection.ts";
import { dispatch, releaseLeases } from "../../control/notify/dispatch.ts";
import { expiredRelays, failExpiredRelays } from "../../control/notify/relay.ts";
import { Settings } from "../../shared/binding.ts";
import { Delivery } from "../../shared/event.ts";
import { RelayedDelivery, SignedDeliveries } from "../../shared/relay.ts";
import { Maintenance } from "../../shared/repository.ts";
import { DATABASES, controlOn, emptyDatabase } from "../support/control.ts";

const at = "2026-11-20T08:00:00.000Z";
const id = (last: number): string => `01a2076b-4405-7cc2-b737-00000000000${last}`;
const request = {
  user: "root",
  sourceDirectories: ["/srv"],
  excludePatterns: [],
  hooks: { beforeBackup: [], afterBackup: [] },
};
const settings = {
  enable: true,
  timerConfig: { OnCalendar: "03:00", RandomizedDelaySec: "5m", Persistent: true },
  zone: null,
  retention: { keep_daily: 7 },
  limitUploadKiBs: 100,
  limitDownloadKiBs: null,
  hookTimeLimit: "10m",
  runTimeLimit: "24h",
};

/** What version 0.1.0 would have in its tables after one backup, and with a cancel not yet taken. */
const OLD_ROWS = [
  sql`insert into hosts (id, name, "publicKey", audience, enrollment, "createdAt") values (${id(1)}, 'nas', 'k', 'http://c', 'e', ${at})`,
  sql`insert into contracts (id, host, name, kind, request, "createdAt", "changedAt")
    values (${id(2)}, ${id(1)}, 'photos', 'files', ${JSON.stringify(request)}, ${at}, ${at})`,
  sql`insert into repositories (id, name, provider, location, passphrase, secrets, existing, "createdAt", "changedAt")
    values (${id(3)}, 'disk', 'restic', '/backup', '{"generate":true}', '{}', 0, ${at}, ${at})`,
  sql`insert into bindings (id, host, name, contract, repository, settings, "createdAt", "changedAt")
    values (${id(4)}, ${id(1)}, 'photos-disk', ${id(2)}, ${id(3)}, ${JSON.stringify(settings)}, ${at}, ${at})`,
  sql`insert into runs (id, host, binding, kind, trigger, state, "startedAt", sequence, warnings, log)
    values (${id(5)}, ${id(1)}, ${id(4)}, 'backup', 'schedule', 'succeeded', ${at}, 2, '[]', 'all is well')`,
  sql`insert into runs (id, host, binding, kind, trigger, state, sequence, warnings, log)
    values (${id(6)}, ${id(1)}, ${id(9)}, 'backup', 'schedule', 'failed', 2, '[]', 'of a binding that is gone')`,
  sql`insert into orders (id, host, kind, run, binding, "issuedAt", "expiresAt")
    values (${id(7)}, ${id(1)}, 'cancel', ${id(5)}, ${id(4)}, ${at}, ${at})`,
];

/** A database after the first migrations only, filled with rows of that time. */
async function oldDatabase(kind: (typeof DATABASES)[number], migrations: number, rows: readonly SQL[]) {
  const db = await emptyDatabase(kind);
  await db.run(sql`create table __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)`);
  await writeAll(db, [
    ...MIGRATIONS.slice(0, migrations).flatMap(({ statements, hash, when }) => [
      ...statements.map((statement) => db.run(sql.raw(statement))),
      db.run(sql`insert into __drizzle_migrations (hash, created_at) values (${hash}, ${when})`),
    ]),
    ...rows.map((row) => db.run(row)),
  ]);
  return db;
}

describe.each(DATABASES)("a database of the kind %s that version 0.1.0 has filled", (kind) => {
  test("keeps its data, and new columns have their defaults", async () => {
    const db = await oldDatabase(kind, 1, OLD_ROWS);

    expect(await migrate(db)).toEqual(MIGRATIONS.slice(1).map(({ tag }) => tag));

    const [contract] = await db.select().from(contracts);
    expect(contract && toContract(contract)).toMatchObject({ name: "photos", kind: "files", request, consistency: [] });
    const [repository] = await db.select().from(repositories);
    expect(repository).toMatchObject({ location: "/backup", appendOnly: false, caFile: null, declared: false });
    expect(repository?.maintenance).toEqual(Maintenance.parse({}));
    const [binding] = await db.select().from(bindings);
    expect(binding?.settings).toEqual(Settings.parse(settings));
    // Its last good backup is remembered, and the first sweep works out when it is late.
    expect(binding).toMatchObject({ goodAt: at, alertAt: expect.stringMatching(/^20\d\d-.*Z$/) });
    const history = await db.select().from(runs).orderBy(runs.id);
    expect(history).toMatchObject([
      { id: id(5), binding: id(4), repository: id(3), state: "succeeded", log: "all is well", plan: null },
      { id: id(6), binding: id(9), repository: null, state: "failed" },
    ]);
    expect(await db.select().from(orders)).toMatchObject([{ id: id(7), kind: "cancel", run: id(5), dryRun: false }]);
    const indexes = await db.all<{ name: string }>(sql`select name from sqlite_master where type = 'index'`);
    for (const name of ["orders_open", "orders_expiry", "orders_run", "runs_host", "runs_binding_kind", "runs_state"]) {
      expect(indexes.map((index) => index.name)).toContain(name);
    }
  });
});

const now = "2026-11-23T08:00:00.000Z";
const soon = "2026-11-23T08:05:00.000Z";
/** As the version before wrote it: the migration finds missed deliveries by it. */
const NOT_FETCHED_BEFORE =
  "its host has not come for it: is the host on, and its agent not older than the control plane?";

/** A delivery as the tables had it before there was `relayState`. */
function oldDelivery(
  last: number,
  row: { leaseOwner?: string; leaseUntil?: string; nextAttemptAt?: string; lastError?: string; attempts?: number },
): SQL {
  const payload = JSON.stringify({ type: "channel.test", timestamp: at, data: {} });
  const { leaseOwner = null, leaseUntil = null, nextAttemptAt = at, lastError = null, attempts = 1 } = row;
  return sql`insert into deliveries (id, channel, type, payload, attempts, "nextAttemptAt", "leaseUntil", "leaseOwner", "lastError", "createdAt")
    values (${id(last)}, ${id(1)}, 'channel.test', ${payload}, ${attempts}, ${nextAttemptAt}, ${leaseUntil}, ${leaseOwner}, ${lastError}, ${at})`;
}

describe.each(DATABASES)("a database of the kind %s from before deliveries had a relay state", (kind) => {
  test("every delivery continues where it was", async () => {
    const target = JSON.stringify({ kind: "webhook", url: "http://10.0.0.1/" });
    const db = await oldDatabase(kind, 10, [
      sql`insert into channels (id, name, kind, target, secret, enabled, "createdAt", "changedAt")
        values (${id(1)}, 'lan', 'webhook', ${target}, 'whsec_bm90aGluZw==', 1, ${at}, ${at})`,
      oldDelivery(2, { leaseOwner: `asked ${id(0)}`, leaseUntil: soon }),
      oldDelivery(3, { leaseOwner: `taken ${id(0)}`, leaseUntil: soon }),
      oldDelivery(4, { leaseOwner: `asked ${id(0)}`, leaseUntil: at }),
      oldDelivery(5, { leaseOwner: `taken ${id(0)}`, leaseUntil: at }),
      oldDelivery(6, { leaseOwner: id(0), leaseUntil: soon, lastError: NOT_FETCHED_BEFORE }),
      oldDelivery(7, { nextAttemptAt: soon, lastError: NOT_FETCHED_BEFORE }),
      oldDelivery(8, { nextAttemptAt: soon, lastError: "answered 500" }),
    ]);
    const control = await controlOn(db, { now, onError: () => undefined });
    const states = async () => {
      const rows = await db.select().from(deliveries).orderBy(deliveries.id);
      return rows.map(({ relayState, leaseOwner }) => `${relayState} ${leaseOwner}`);
    };
    expect(await states()).toEqual([
      `requested ${id(0)}`,
      `fetched ${id(0)}`,
      `requested ${id(0)}`,
      `fetched ${id(0)}`,
      `null ${id(0)}`,
      "missed null",
      "null null",
    ]);

    const host = await control.enrol("nas");
    await db.update(channels).set({ via: host.id });
    await protectRows(control.deps, { mayBegin: true });
    const fetched = async () => {
      const { deliveries: signed } = await host.ask(SignedDeliveries, "GET", "/agent/v1/deliveries");
      return signed.map((jws) => RelayedDelivery.parse(JSON.parse(atob(jws.split(".")[1] ?? ""))).id);
    };
    const of = (last: number) => control.admin.ask(Delivery, "GET", `/api/v1/deliveries/${id(last)}`);

    // What ran out while the new version started counts as an attempt, and says which of the two it was.
    await failExpiredRelays(control.deps, await expiredRelays(db, Date.parse(now)));
    expect(await of(4)).toMatchObject({
      attempts: 2,
      lastError: "the host did not fetch it in time: is the host on, and its agent as new as the control plane?",
    });
    expect(await of(5)).toMatchObject({ attempts: 2, lastError: "the host fetched it and reported no result" });
    // What the host is asked to fetch, it gets; what it missed is due now, what failed otherwise is not.
    expect(await fetched()).toEqual([id(2)]);
    expect(await of(4)).toMatchObject({ nextAttemptAt: now });
    expect(await of(7)).toMatchObject({ nextAttemptAt: now });
    expect(await of(8)).toMatchObject({ nextAttemptAt: soon });
    await dispatch(control.deps);
    expect(await fetched()).toEqual([id(4), id(7)]);
    // The result of what it had fetched before is taken, for a dispatcher's lease it is not.
    const outcomes = [3, 6].map((last) => ({ id: id(last), lease: id(0), status: 204, error: null }));
    expect((await host.send("POST", "/agent/v1/deliveries", { outcomes })).status).toBe(204);
    expect(await of(3)).toMatchObject({ state: "delivered", attempts: 2 });
    expect(await of(6)).toMatchObject({ state: "pending", attempts: 1 });
    // A dispatcher's lease ends with its process, a host's does not.
    await releaseLeases(control.deps);
    expect((await states()).slice(0, 6).map((state) => state.split(" ")[0])).toEqual([
      "fetched",
      "null",
      "fetched",
      "null",
      "null",
      "fetched",
    ]);
    expect((await states())[4]).toBe("null null");
  });
});

test("a host that is offline during the upgrade stays so, and its rows are counted", async () => {
  const before = MIGRATIONS.findIndex(({ tag }) => tag === "0016_find_what_is_due_by_index");
  const offline = sql`insert into incidents (id, kind, key, host, summary, timeline, "openedAt")
    values (${id(8)}, 'host.offline', ${`host.offline ${id(1)}`}, ${id(1)}, 'offline', '[]', ${at})`;
  const db = await oldDatabase("file", before, [...OLD_ROWS, offline]);
  await controlOn(db);
  const [host] = await db.select().from(hosts);
  expect(host).toMatchObject({ offlineAt: at, silentAt: Date.parse(at) / 1000 + 900 });
  expect(await db.select().from(rowCounts)).toEqual([{ host: id(1), of: "runs", rows: 2, upTo: id(6) }]);
});
