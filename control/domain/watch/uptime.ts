import { inArray } from "drizzle-orm";
import type { Instant } from "../../../shared/ids.ts";
import { vitals } from "../../db/schema/service.ts";
import type { Deps } from "../../deps.ts";
import { recordVitals, type Recorded } from "../vitals.ts";

/** Sweeps come at least once a minute. Without one for this long, the control plane was down. */
const DOWN_AFTER_MS = 3 * 60_000;

/** Time that hosts get to connect and report before anything counts as late. */
export const GRACE_AFTER_START_MS = 10 * 60_000;

/** When the control plane began to listen, and when its last sweep was; null: never. */
export interface Uptime {
  readonly listening: Instant | null;
  readonly watch: Instant | null;
}

/** Call at process start: silence before it does not count as evidence. */
export async function recordUptimeStart(deps: Pick<Deps, "db" | "clock">): Promise<void> {
  await recordVitals(deps, [{ name: "listening" }]);
}

export async function readUptime({ db }: Pick<Deps, "db">): Promise<Uptime> {
  const rows = await db
    .select()
    .from(vitals)
    .where(inArray(vitals.name, ["listening", "watch"]));
  const at = new Map(rows.map((row) => [row.name, row.at]));
  return { listening: at.get("listening") ?? null, watch: at.get("watch") ?? null };
}

/** Since when the control plane is up without a gap, in milliseconds since 1970. */
export function upSinceOf({ clock }: Pick<Deps, "clock">, { listening, watch }: Uptime): number {
  const now = clock.now();
  const [since, watched] = [listening, watch].map((at) => (at === null ? Number.NaN : Date.parse(at)));
  if (since === undefined || watched === undefined) return now;
  // An instant in the future was recorded by a wrong clock.
  const isGapless = watched <= now && now - watched <= DOWN_AFTER_MS;
  return isGapless && since <= now ? since : now;
}

/** What a sweep records: that it watched, and since when it is up if there was a gap. */
export function uptimeVitals({ clock }: Pick<Deps, "clock">, upSince: number): Recorded[] {
  return [{ name: "watch" }, ...(upSince === clock.now() ? [{ name: "listening" as const }] : [])];
}
