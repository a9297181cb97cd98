import { and, desc, gte } from "drizzle-orm";
import type { Page } from "../../../shared/api.ts";
import type { AuditEntry } from "../../../shared/audit.ts";
import { uuidv7, type Id, type Instant } from "../../../shared/ids.ts";
import { audit } from "../../db/schema/service.ts";
import type { Deps } from "../../deps.ts";
import { appendEntry } from "./audit-chain.ts";
import { isPastCursor, type ListInput, matches, pageOf } from "../page.ts";

/**
 * Records who asked for which change, and the HTTP status. Written after the change: a failure here is logged and
 * undoes nothing.
 */
export async function recordAuditEntry(deps: Deps, entry: Omit<AuditEntry, "id" | "at" | "sequence">): Promise<void> {
  try {
    await appendEntry(deps, entry);
  } catch (error) {
    const { before: _before, after: _after, ...facts } = entry;
    deps.log.error("an audit entry could not be written", { ...facts, error: String(error) });
  }
}

export async function listAudit(
  deps: Deps,
  input: ListInput & {
    by?: Id | undefined;
    object?: string | undefined;
    method?: AuditEntry["method"] | undefined;
    since?: Instant | undefined;
  },
): Promise<Page<AuditEntry>> {
  const rows = await deps.db
    .select()
    .from(audit)
    .where(
      and(
        isPastCursor(audit.id, input),
        matches(audit.by, input.by),
        matches(audit.object, input.object),
        matches(audit.method, input.method),
        // Ids grow with time: this condition lets the query use the primary key.
        input.since === undefined
          ? undefined
          : gte(audit.id, uuidv7(Math.max(0, Date.parse(input.since)), new Uint8Array(10))),
        input.since === undefined ? undefined : gte(audit.at, input.since),
      ),
    )
    .orderBy(desc(audit.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, toEntry);
}

function toEntry({ hash: _hash, ...entry }: typeof audit.$inferSelect): AuditEntry {
  return entry;
}
