import { inArray } from "drizzle-orm";
import { instant } from "../../../shared/ids.ts";
import { vitals } from "../../db/schema/service.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";

type UptimeDeps = Pick<Deps, "db" | "clock">;

/** A sweep runs every minute or more often: with none for so long, nobody was here to be spoken to. */
const DOWN_AFTER_MS = 3 * 60_000;

/** Hosts get as long to connect again, and to say what happened meanwhile, before anything is called late. */
export const GRACE_AFTER_START_MS = 10 * 60_000;

/** The control plane has just come up: what it did not hear before says nothing of anybody. */
export async function recordUptimeStart(deps: UptimeDeps): Promise<void> {
  await writeVital(deps, "listening");
}

/** Notes that somebody listens now. @returns since when without a gap, in milliseconds since 1970 */
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
  // What lies ahead was noted by a clock that was wrong.
  const isGapless = watched !== undefined && watched <= now && now - watched <= DOWN_AFTER_MS;
  if (isGapless && since !== undefined && since <= now) return since;
  await writeVital(deps, "listening");
  return now;
}

function writeVital({ db, clock }: UptimeDeps, name: "listening" | "watch"): Statement & PromiseLike<unknown> {
  const at = instant(clock.now());
  return db.insert(vitals).values({ name, at }).onConflictDoUpdate({ target: vitals.name, set: { at } });
}
