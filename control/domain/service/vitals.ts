import { and, eq, isNull, lte, sql } from "drizzle-orm";
import { instant, type Instant } from "../../../shared/ids.ts";
import { channels, deliveries } from "../../db/schema/notifications.ts";
import { vitals } from "../../db/schema/service.ts";
import type { Deps } from "../../deps.ts";

/** Background tasks whose last completion is recorded; `start`: when the control plane started. */
type Vital = "start" | "sweep" | "outbox" | "heartbeat";

/** Three times the longest interval, the minute of a cron trigger. */
const SWEEP_STALLS_AFTER_MS = 180_000;
/** A receiver that does not answer delays the others by 15 s; many of them by minutes. */
const OUTBOX_STALLS_AFTER_MS = 600_000;
/** Vitals are checked about once a minute, so there is no need to record them more often. */
const RECORD_INTERVAL_MS = 5_000;
const ANSWER_TIMEOUT_MS = 5_000;
/** A vital further in the future was recorded by a wrong clock, and is ignored. */
const AHEAD_MS = 60_000;

/**
 * Records that a background task completed.
 * @param everyMs minimum interval between two records
 * @returns whether it was recorded; true for only one of several concurrent callers
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
      // A record from a clock that was ahead must not block it.
      setWhere: sql`${vitals.at} not between ${instant(now - everyMs + 1)} and ${instant(now)}`,
    });
  return rowsAffected > 0;
}

/**
 * Why the control plane is unhealthy: its sweep or outbox has stalled, or its database does not answer. Never in the
 * first minutes after its start.
 * @returns null when it is healthy
 */
export async function healthProblem(deps: Pick<Deps, "db" | "clock" | "log">): Promise<string | null> {
  try {
    return await withTimeout(checkVitals(deps));
  } catch (error) {
    deps.log.error("the health checks could not be read", { error: String(error) });
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
  // Without a recorded start, monitoring begins now.
  if (!at.has("start")) await recordVital(deps, "start");
  const start = at.get("start") ?? instant(now);
  const lastRunAt = (name: Vital): Instant => [start, at.get(name) ?? start].toSorted().at(-1) ?? start;
  const isOld = (seen: Instant, afterMs: number): boolean => Date.parse(seen) < now - afterMs;
  if (isOld(lastRunAt("sweep"), SWEEP_STALLS_AFTER_MS)) return `the last complete sweep was at ${lastRunAt("sweep")}`;
  if (isOld(lastRunAt("outbox"), OUTBOX_STALLS_AFTER_MS))
    return `the outbox has been stuck since ${lastRunAt("outbox")}`;
  // Notifications that waited while the control plane was down get the same time.
  const since = waiting?.since ?? held?.since ?? null;
  return since === null || !isOld(start, OUTBOX_STALLS_AFTER_MS)
    ? null
    : `a notification has been waiting since ${since}`;
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
