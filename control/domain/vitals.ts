import { sql } from "drizzle-orm";
import { instant } from "../../shared/ids.ts";
import { vitals } from "../db/schema/service.ts";
import type { Deps } from "../deps.ts";

/** A background task that has completed now. */
export interface Recorded {
  readonly name: "listening" | "watch" | "sweep" | "outbox" | "rows" | "counts" | "runs";
  /** Of a task that goes on in turns: where the next one begins. */
  readonly next?: string;
  /** When it completed, if not now. */
  readonly at?: string;
}

/** Records them all with one statement. */
export async function recordVitals(
  { db, clock }: Pick<Deps, "db" | "clock">,
  tasks: readonly Recorded[],
): Promise<void> {
  if (tasks.length === 0) return;
  const now = instant(clock.now());
  await db
    .insert(vitals)
    .values(tasks.map(({ name, at = now, next = null }) => ({ name, at, next })))
    .onConflictDoUpdate({ target: vitals.name, set: { at: sql`excluded.at`, next: sql`excluded.next` } });
}
