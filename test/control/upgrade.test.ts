import { sql } from "drizzle-orm";
import { describe, expect, test } from "vitest";
import { migrate } from "../../control/db/migrate.ts";
import { MIGRATIONS } from "../../control/db/migrations.ts";
import { bindings, contracts, repositories } from "../../control/db/schema/contracts.ts";
import { orders, runs } from "../../control/db/schema/runs.ts";
import { writeAll } from "../../control/db/transaction.ts";
import { toContract } from "../../control/domain/contracts/contracts.ts";
import { Settings } from "../../shared/binding.ts";
import { Maintenance } from "../../shared/repository.ts";
import { DATABASES, emptyDatabase } from "../support/control.ts";

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

describe.each(DATABASES)("a database of the kind %s that version 0.1.0 has filled", (kind) => {
  test("keeps all it holds, and what is new has its default", async () => {
    const db = await emptyDatabase(kind);
    const [first] = MIGRATIONS;
    if (first === undefined) throw new Error("there is no first migration");
    await db.run(
      sql`create table __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)`,
    );
    await writeAll(db, [
      ...first.statements.map((statement) => db.run(sql.raw(statement))),
      db.run(sql`insert into __drizzle_migrations (hash, created_at) values (${first.hash}, ${first.when})`),
      ...OLD_ROWS.map((row) => db.run(row)),
    ]);

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
