// What the control plane's periodic work and its longest lists cost: statements, rows and calls as a libSQL server counts
// them, and time, beside the same of a control plane with one host. `npm run bench -- sweep [HOSTS] [RUNS OF A BINDING]`.
import { createClient } from "@libsql/client/http";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/libsql/http";
import { hosts } from "../../control/db/schema/hosts.ts";
import { deliveries } from "../../control/db/schema/notifications.ts";
import { protectRows } from "../../control/domain/service/row-protection.ts";
import { tick } from "../../control/tick.ts";
import { instant } from "../../shared/ids.ts";
import { controlOn } from "../support/control.ts";
import { counting } from "../support/counted-database.ts";
import { seedFleet } from "../support/fleet.ts";
import { startSqld } from "../support/sqld.ts";

const MINUTE = 60_000;
const NOW = "2026-11-23T08:00:00.000Z";
const ROUNDS = 15;

const say = (line: string): boolean => process.stdout.write(`${line}\n`);

/** Prints a table, and at the end all as JSON. */
export async function benchSweep([count = "1000", runs = "20"]: readonly string[]): Promise<void> {
  const fleets = [];
  for (const size of [
    { hosts: 1, runs: 1 },
    { hosts: Number(count), runs: Number(runs) },
  ]) {
    const result = { ...size, ...(await measure(size)) };
    fleets.push(result);
    say(`${size.hosts} hosts x 5 bindings x ${size.runs} runs:`);
    for (const [name, { statements, rowsRead, calls, ms, spread }] of Object.entries(result.figures))
      say(`  ${name}: ${statements} statements, ${rowsRead} rows read, ${calls} calls, ${ms} ms (${spread})`);
    say(`  all hosts silent: told after ${result.minutes} min, at most ${result.most} database calls a minute`);
  }
  say(JSON.stringify(fleets));
}

async function measure(size: { readonly hosts: number; readonly runs: number }) {
  const server = await startSqld();
  try {
    const { fetch, take } = counting();
    const db = drizzle(createClient({ url: server.url, fetch }));
    const control = await controlOn(db, { now: NOW });
    await seedFleet(db, { hosts: size.hosts, bindingsOfHost: 5, runsOfBinding: size.runs }, Date.parse(NOW));
    await db.run(sql`insert or replace into row_counts select host, 'runs', count(*), max(id) from runs group by host`);
    await db.run(sql`delete from marks`);
    await protectRows(control.deps, { mayBegin: true });
    await db.run(sql`update hosts set "connectionId" = id, "connectedAt" = ${NOW}, "lastSeenAt" = ${NOW}`);
    const deps = { ...control.deps, post: async () => ({ status: 204 }) };
    const figure = async (work: () => Promise<unknown>) => {
      const all: (ReturnType<typeof take> & { readonly ms: number })[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        take();
        const from = performance.now();
        await work();
        all.push({ ...take(), ms: performance.now() - from });
      }
      const times = all.map(({ ms }) => ms).toSorted((a, b) => a - b);
      const most = (name: "statements" | "rowsRead" | "calls"): number => Math.max(...all.map((one) => one[name]));
      const ms = Math.round((times[ROUNDS >> 1] ?? 0) * 10) / 10;
      const spread = `${Math.round(times[0] ?? 0)} to ${Math.round(times.at(-1) ?? 0)}`;
      return { statements: most("statements"), rowsRead: most("rowsRead"), calls: most("calls"), ms, spread };
    };
    const list = (path: string) => figure(() => control.admin.send("GET", path));
    const figures = {
      "a sweep with nothing due": await figure(() => (control.pass(MINUTE / 2), tick(deps))),
      "GET /bindings?limit=500": await list("/api/v1/bindings?limit=500"),
      "GET /runs?state=failed&limit=500": await list("/api/v1/runs?state=failed&limit=500"),
    };
    return { figures, ...(await silence(control, deps, take)) };
  } finally {
    await server.stop();
  }
}

/** All sockets are gone: how many calls each minute takes, two sweeps, until the owner knows of every host. */
async function silence(
  control: Awaited<ReturnType<typeof controlOn>>,
  deps: Parameters<typeof tick>[0],
  take: () => { readonly calls: number },
) {
  await control.admin.send("POST", "/api/v1/channels", { name: "ops", kind: "webhook", url: "http://127.0.0.1/hook" });
  for (let minute = 0; minute < 16; minute++) {
    await deps.db.run(sql`update hosts set "lastSeenAt" = ${instant(deps.clock.now())}`);
    control.pass(MINUTE);
    await tick(deps);
  }
  control.pass(14 * MINUTE);
  const all = await deps.db.$count(hosts);
  let [most, minutes, told] = [0, 0, 0];
  for (let down = 0; down < 15; down++) await tick(deps).then(() => control.pass(MINUTE));
  for (; told < all; minutes++) {
    take();
    for (let half = 0; half < 2; half++) await tick(deps).then(() => control.pass(MINUTE / 2));
    most = Math.max(most, take().calls);
    told = await deps.db.$count(deliveries, sql`type = 'host.offline' and state = 'delivered'`);
  }
  return { most, minutes };
}
