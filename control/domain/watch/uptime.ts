import { inArray } from "drizzle-orm";
import { instant } from "../../../shared/ids.ts";
import { vitals } from "../../db/schema/service.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";

type UptimeDeps = Pick<Deps, "db" | "clock">;

/** Sweeps come at least once a minute. Without one for this long, the control plane was down. */
const DOWN_AFTER_MS = 3 * 60_000;

/** Time that hosts get to connect and report before anything counts as late. */
export const GRACE_AFTER_START_MS = 10 * 60_000;

/** Call at process start: silence before it does not count as evidence. */
export async function recordUptimeStart(deps: UptimeDeps): Promise<void> {
  await writeVital(deps, "listening");
}

/** Extends the uptime. @returns since when the control plane is up without a gap, in milliseconds since 1970 */
export async function extendUptime(deps: UptimeDeps): Promise<number> {
  const now = deps.clock.now();
  const rows = await deps.db
    .select()
    .from(vitals)
    .where(inArray(vitals.name, ["listening", "watch"]));
  const at = new Map(rows.map((row) => [row.name, Date.parse(row.at)]));
  const watched = at.get("watch");
  const since = at.get("listening");
  await writeVital(deps, "watch");
  // An instant in the future was recorded by a wrong clock.
  const isGapless = watched !== undefined && watched <= now && now - watched <= DOWN_AFTER_MS;
  if (isGapless && since !== undefined && since <= now) return since;
  await writeVital(deps, "listening");
  return now;
}

function writeVital({ db, clock }: UptimeDeps, name: "listening" | "watch"): Statement & PromiseLike<unknown> {
  const at = instant(clock.now());
  return db.insert(vitals).values({ name, at }).onConflictDoUpdate({ target: vitals.name, set: { at } });
}
