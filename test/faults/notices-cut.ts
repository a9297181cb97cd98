import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrate } from "../../control/db/migrate.ts";
import { incidents } from "../../control/db/schema/incidents.ts";
import { channels, deliveries } from "../../control/db/schema/notifications.ts";
import { sealSecret, sealTarget } from "../../control/keys/channel-secrets.ts";
import { type Database, writeAll } from "../../control/db/transaction.ts";
import type { Deps } from "../../control/deps.ts";
import { closeIncident, openIncident, type IncidentRef } from "../../control/domain/incidents/incidents.ts";
import { remindOfIncidents, settleIncidents } from "../../control/domain/incidents/sweep.ts";
import { dispatch } from "../../control/notify/dispatch.ts";
import { openDatabase } from "../../control/runtime/node/database.ts";
import { openSigningKey } from "../../control/runtime/node/signing-key.ts";
import { Event } from "../../shared/event.ts";
import { type Id, instant, uuidv7 } from "../../shared/ids.ts";
import type { Dice } from "../support/random.ts";
import type { Fault } from "./fault.ts";
import { judgeNotices, type Said } from "./notices-judged.ts";

const MINUTE = 60_000;
const STEPS = 40;
const KEYS = ["disk.full /srv", "disk.full /var", "spool.full /var/lib"] as const;
/** Long enough for every retry, every night and every reminder that is due to be through. */
const HOURS_AFTER = 60;

/**
 * What finds out, what sweeps and what sends are each cut at any of their calls of the database, several at once, while
 * things break and are mended, come and go, by day and in quiet hours, and receivers fail. Then all is well, and
 * everybody has to have been told.
 */
export const noticesCut: Fault = {
  name: "notices-cut",
  rounds: 200,
  async start() {
    const directory = await mkdtemp(join(tmpdir(), "holdfast-notices-"));
    const db = openDatabase(`file:${join(directory, "control.db")}`);
    await migrate(db);
    const signingKey = await openSigningKey(directory, undefined);
    return {
      async round(dice) {
        let now = Date.parse("2026-11-23T12:00:00.000Z");
        for (const table of [channels, deliveries, incidents]) await db.delete(table);
        const said: Said[] = [];
        let isWell = false;
        const deps: Deps = {
          db,
          signingKey,
          mail: null,
          wakeOutbox: () => undefined,
          clock: { now: () => now },
          random: (bytes) => Uint8Array.from({ length: bytes }, () => dice.below(256)),
          log: { info: () => undefined, error: () => undefined },
          hub: {
            poke: async () => undefined,
            ask: async () => null,
            lastHeardAt: async () => new Map(),
            mostAsked: 1,
            disconnect: async () => undefined,
          },
          post: async ({ url, headers, body }) => {
            if (!isWell && dice.isLucky(0.2)) return { status: 503 };
            said.push({ channel: url, id: headers["webhook-id"] ?? "", event: Event.parse(JSON.parse(body)) });
            return { status: 204 };
          },
          config: { url: "http://control.test", version: "0.0.0" },
          agentFiles: { read: async () => null },
        };
        await db.insert(channels).values([await channelOf(deps, "day"), await channelOf(deps, "night")]);
        const states = new Map<string, "open" | "well" | "unsaid">();
        for (let step = 0; step < STEPS; step++) {
          now += (dice.isLucky(0.7) ? 1 + dice.below(15) : dice.below(600)) * MINUTE;
          await act(deps, dice, states);
        }
        isWell = true;
        for (let hour = 0; hour < HOURS_AFTER; hour++) {
          now += 60 * MINUTE;
          await settleIncidents(deps);
          // The last of it has a whole day to come through a night.
          if (hour < HOURS_AFTER - 24) await remindOfIncidents(deps);
          await dispatch(deps);
        }
        return judgeNotices(await readAll(db), said, states);
      },
      async end() {
        db.$client.close();
        await rm(directory, { recursive: true, force: true });
      },
    };
  },
};

async function act(deps: Deps, dice: Dice, states: Map<string, "open" | "well" | "unsaid">): Promise<void> {
  const key = dice.pick(KEYS);
  const trouble: IncidentRef = { kind: "host.trouble", host: HOST, detail: key };
  const dying = (): Deps => ({ ...deps, db: dice.isLucky(0.6) ? mortal(deps.db, dice.below(14)) : deps.db });
  const what = dice.below(8);
  if (what <= 2) {
    const event = { type: "host.trouble" as const, data: { key } };
    if (await lives((own) => writeAll(own.db, openIncident(own, trouble, { summary: key, event })), dying()))
      states.set(key, "open");
  } else if (what <= 4) {
    // Somebody pauses it, now and then: then nobody is told how it ended.
    const event = dice.isLucky(0.2) ? null : { type: "host.trouble_over" as const, data: { key } };
    if (await lives((own) => writeAll(own.db, closeIncident(own, trouble, { message: "over", event })), dying()))
      if (states.get(key) === "open") states.set(key, event === null ? "unsaid" : "well");
  } else if (what === 5) {
    await Promise.all([1, 2].map(() => lives(settleIncidents, dying())));
    await Promise.all([1, 2].map(() => lives(remindOfIncidents, dying())));
  } else {
    await Promise.all([1, 2].map(() => lives(dispatch, dying())));
  }
}

const HOST: Id = "01936f0e-0000-7000-8000-00000000000a";

/** @returns whether it came to its end */
async function lives(doing: (deps: Deps) => Promise<unknown>, deps: Deps): Promise<boolean> {
  try {
    await doing(deps);
    return true;
  } catch (error) {
    if (!(error instanceof Cut)) throw error;
    return false;
  }
}

class Cut extends Error {}

const CALLS: readonly PropertyKey[] = ["select", "selectDistinct", "insert", "update", "delete", "run", "batch"];

/** The database as a process sees it that is killed after so many of its calls: what it has written stays. */
function mortal(db: Database, calls: number): Database {
  let left = calls;
  return new Proxy(db, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function" || !CALLS.includes(name)) return member;
      return (...given: unknown[]): unknown => {
        if (left-- <= 0) throw new Cut(`killed before ${String(name)}`);
        return Reflect.apply(member, target, given);
      };
    },
  });
}

async function channelOf(deps: Deps, name: "day" | "night"): Promise<typeof channels.$inferInsert> {
  const { clock, random } = deps;
  const at = instant(clock.now());
  const id = uuidv7(clock.now(), random(16));
  return {
    id,
    name,
    kind: "webhook",
    enabled: true,
    createdAt: at,
    changedAt: at,
    target: await sealTarget(deps, { id, via: null }, { kind: "webhook", url: `http://${name}.test/` }),
    secret: await sealSecret(deps, id, `whsec_${btoa("0123456789abcdef0123456789abcdef")}`),
    remindEveryDays: 1,
    quietHours: name === "night" ? { from: "21:00", to: "06:30", zone: "Europe/Berlin" } : null,
  };
}

async function readAll(db: Database) {
  const [sent, wrong, heard] = await db.batch([
    db.select().from(deliveries).orderBy(deliveries.createdAt),
    db.select().from(incidents).orderBy(incidents.id),
    db.select().from(channels),
  ]);
  return { sent, wrong, heard };
}

export type Written = Awaited<ReturnType<typeof readAll>>;
