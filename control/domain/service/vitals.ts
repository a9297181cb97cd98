import { and, eq, isNull, lte, sql } from "drizzle-orm";
import { instant, type Instant } from "../../../shared/ids.ts";
import { channels, deliveries } from "../../db/schema/notifications.ts";
import { vitals } from "../../db/schema/service.ts";
import type { Deps } from "../../deps.ts";

/** What runs by itself, and is noted each time it has run to its end; `start`: since when it should. */
type Vital = "start" | "sweep" | "outbox" | "heartbeat";

/** Three times the longest interval there is: the minute of a cron trigger. */
const SWEEP_STALLS_AFTER_MS = 180_000;
/** A receiver that does not answer holds the others up for 15 s, and many of them for minutes. */
const OUTBOX_STALLS_AFTER_MS = 600_000;
/** As often as a vital changes is enough: most are looked at by the minute. */
const RECORD_INTERVAL_MS = 5_000;
const ANSWER_TIMEOUT_MS = 5_000;
/** What was noted further ahead than clocks differ was noted by one that was wrong, and says nothing. */
const AHEAD_MS = 60_000;

/**
 * Notes that something ran to its end.
 * @param everyMs not again before that
 * @returns whether it was noted now: of several at once, by one
 */
export async function recordVital(
  { db, clock }: Pick<Deps, "db" | "clock">,
  name: Vital,
  everyMs = RECORD_INTERVAL_MS,
): Promise<boolean> {
  const now = clock.now();
  const { rowsAffected } = await db
    .insert(vitals)
    .values({ name, at: instant(now) })
    .onConflictDoUpdate({
      target: vitals.name,
      set: { at: instant(now) },
      // A clock that was ahead once must not hold it up.
      setWhere: sql`${vitals.at} not between ${instant(now - everyMs + 1)} and ${instant(now)}`,
    });
  return rowsAffected > 0;
}

/**
 * Why the control plane can't be trusted to tell anybody anything just now: its sweep or its outbox has stalled, or its database
 * does not answer. Never for the first minutes after its start.
 * @returns null when all is well
 */
export async function healthProblem(deps: Pick<Deps, "db" | "clock" | "log">): Promise<string | null> {
  try {
    return await withTimeout(checkVitals(deps));
  } catch (error) {
    deps.log.error("the vital signs could not be read", { error: String(error) });
    return "the database does not answer";
  }
}

async function checkVitals(deps: Pick<Deps, "db" | "clock">): Promise<string | null> {
  const { db, clock } = deps;
  const now = clock.now();
  const [recorded, [waiting], [held]] = await db.batch([
    db.select().from(vitals),
    db
      .select({ since: sql<Instant | null>`min(${deliveries.nextAttemptAt})` })
      .from(deliveries)
      .innerJoin(channels, eq(channels.id, deliveries.channel))
      .where(and(lte(deliveries.nextAttemptAt, instant(now - OUTBOX_STALLS_AFTER_MS)), isNull(channels.via))),
    db
      .select({ since: sql<Instant | null>`min(${channels.digestAt})` })
      .from(channels)
      .where(lte(channels.digestAt, instant(now - OUTBOX_STALLS_AFTER_MS))),
  ]);
  const at = new Map(
    recorded.filter((vital) => Date.parse(vital.at) <= now + AHEAD_MS).map((each) => [each.name, each.at]),
  );
  // Where nothing says when it started, it is watched from now on.
  if (!at.has("start")) await recordVital(deps, "start");
  const start = at.get("start") ?? instant(now);
  const lastRunAt = (name: Vital): Instant => [start, at.get(name) ?? start].toSorted().at(-1) ?? start;
  const isOld = (seen: Instant, afterMs: number): boolean => Date.parse(seen) < now - afterMs;
  if (isOld(lastRunAt("sweep"), SWEEP_STALLS_AFTER_MS))
    return `the sweep has not run to its end since ${lastRunAt("sweep")}`;
  if (isOld(lastRunAt("outbox"), OUTBOX_STALLS_AFTER_MS)) return `the outbox is stuck since ${lastRunAt("outbox")}`;
  // What waited while the control plane was away gets its time.
  const since = waiting?.since ?? held?.since ?? null;
  return since === null || !isOld(start, OUTBOX_STALLS_AFTER_MS) ? null : `a notification waits since ${since}`;
}

async function withTimeout<T>(answer: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer within 5 s")), ANSWER_TIMEOUT_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
