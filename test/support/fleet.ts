import { sql } from "drizzle-orm";
import { writeAll, type Database } from "../../control/db/transaction.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { Settings } from "../../shared/binding.ts";

const HOUR_MS = 3_600_000;

/** A fleet with a history: every host has the bindings, and every binding an hourly backup until now. */
export interface FleetSize {
  readonly hosts: number;
  readonly bindingsOfHost: number;
  readonly runsOfBinding: number;
}

export interface FleetBinding {
  readonly id: string;
  readonly host: { readonly id: string; readonly name: string };
}

/** Writes the fleet by SQL: without MACs, so its hosts can't sign in. @param nowMs when its newest backups ended */
export async function seedFleet(db: Database, size: FleetSize, nowMs: number): Promise<FleetBinding[]> {
  const at = new Date(nowMs - size.runsOfBinding * HOUR_MS).toISOString();
  const id = (kind: number, index: number) => uuidv7(Date.parse(at), bytes(kind, index));
  const hosts = Array.from({ length: size.hosts }, (_, index) => ({ id: id(1, index), name: `host-${index}` }));
  const bindings = hosts.flatMap((host, index) =>
    Array.from({ length: size.bindingsOfHost }, (_, of) => {
      const row = index * size.bindingsOfHost + of;
      return { id: id(4, row), host, name: `data-${of}`, contract: id(2, row), repository: id(3, row) };
    }),
  );
  const settings = JSON.stringify(Settings.parse({ timerConfig: { OnCalendar: "hourly" } }));
  const request = JSON.stringify({ user: "root", sourceDirectories: ["/srv"] });
  const rows = (list: readonly unknown[]) => sql`json_each(${JSON.stringify(list)}) as one`;
  const field = (name: string) => sql`json_extract(one.value, ${`$.${name}`})`;
  await writeAll(db, [
    db.run(sql`insert into hosts (id, name, "publicKey", audience, enrollment, "createdAt")
      select ${field("id")}, ${field("name")}, ${field("id")}, 'http://control.test', '', ${at} from ${rows(hosts)}`),
    db.run(sql`insert into contracts (id, host, name, kind, request, "createdAt", "changedAt")
      select ${field("contract")}, ${field("host.id")}, ${field("name")}, 'files', ${request}, ${at}, ${at} from ${rows(bindings)}`),
    db.run(sql`insert into repositories (id, name, provider, location, passphrase, secrets, existing, "engineId", "createdAt", "changedAt")
      select ${field("repository")}, ${field("repository")}, 'restic', '/backup', '{"generate":true}', '{}', 0, 'known', ${at}, ${at}
      from ${rows(bindings)}`),
    db.run(sql`insert into bindings (id, host, name, contract, repository, settings, "createdAt", "changedAt")
      select ${field("id")}, ${field("host.id")}, ${field("name")}, ${field("contract")}, ${field("repository")}, ${settings}, ${at}, ${at}
      from ${rows(bindings)}`),
  ]);
  for (let from = 0; from < size.runsOfBinding; from += 1000)
    await seedRuns(db, nowMs, { from, to: Math.min(from + 1000, size.runsOfBinding) });
  return bindings;
}

/**
 * Writes more history of every binding; one backup in fifty has failed, as in a fleet that is well.
 * @param hours before `nowMs`; and of one binding only, if it is named
 */
export async function seedRuns(
  db: Database,
  nowMs: number,
  { from, to, binding = null }: { from: number; to: number; binding?: string | null },
): Promise<void> {
  const ms = sql`(${nowMs} - ${HOUR_MS} * (hour.value + 1) + bindings.rowid)`;
  const time = sql`printf('%012x', ${ms})`;
  const runId = sql`substr(${time}, 1, 8) || '-' || substr(${time}, 9) || '-7000-8000-' || printf('%012x', bindings.rowid)`;
  const iso = (offset: number) => sql`strftime('%Y-%m-%dT%H:%M:%fZ', (${ms} + ${offset}) / 1000.0, 'unixepoch')`;
  await db.run(sql`insert into runs
    (id, host, binding, repository, kind, trigger, state, sequence, "scheduledAt", "startedAt", "finishedAt", warnings, "heardAt", log)
    with recursive hour (value) as (select ${from} union all select value + 1 from hour where value + 1 < ${to})
    select ${runId}, bindings.host, bindings.id, bindings.repository, 'backup', 'schedule',
      case when (bindings.rowid + hour.value) % 50 = 49 then 'failed' else 'succeeded' end, 2,
      ${iso(0)}, ${iso(0)}, ${iso(60_000)}, '[]', ${iso(60_000)}, 'a log of usual length: ' || hex(zeroblob(100))
    from bindings, hour where coalesce(bindings.id = ${binding}, 1)`);
}

function bytes(kind: number, index: number): Uint8Array {
  const ten = new Uint8Array(10);
  ten[0] = kind;
  new DataView(ten.buffer).setUint32(6, index);
  return ten;
}
