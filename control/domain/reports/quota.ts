import { and, eq, isNull, type SQL } from "drizzle-orm";
import { Failure } from "../../../shared/failure.ts";
import { type Id, instant, type Instant } from "../../../shared/ids.ts";
import type { Report } from "../../../shared/report.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { writeAll, writeInParts } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import {
  closeIncident,
  hasOpen,
  incidentKey,
  isOpenOfKind,
  openIncident,
  type IncidentRef,
} from "../incidents/incidents.ts";

const MiB = 1024 * 1024;

/** What a host may report at once: all that an agent keeps while it is offline (agent/state/bounds.ts), and more. */
export const QUOTA_BYTES = 96 * MiB;
/** And from then on. 50 hourly bindings with a thousand snapshots each report 10 MiB in an hour. */
export const QUOTA_BYTES_PER_HOUR = 16 * MiB;
/** Rows and indexes of one report, besides its text. */
const REPORT_BYTES = 1024;
/** What is refused waits until a batch of reports fits in. */
const BATCH_BYTES = MiB;
const HOUR_MS = 3_600_000;

/** What a host has reported, less what its quota has allowed since; in bytes, and when that was computed. */
export interface Reported {
  readonly bytes: number;
  readonly since: Instant | null;
}

/** About what saving a report takes, in bytes. */
export function weightOf(report: Report): number {
  return REPORT_BYTES + JSON.stringify(report).length;
}

/** The bytes that still count against the quota. An instant in the future was recorded by a wrong clock. */
export function countedBytes({ bytes, since }: Reported, now: number): number {
  const elapsedMs = since === null ? -1 : now - Date.parse(since);
  return elapsedMs < 0 ? 0 : Math.max(0, bytes - (elapsedMs / HOUR_MS) * QUOTA_BYTES_PER_HOUR);
}

/**
 * Throws `request.quota_exceeded` when the host has reported more than it may, and opens host.quota. The agent keeps
 * its reports, and sends them when there is room again.
 */
export async function enforceQuota(deps: Deps, host: { id: Id; name: string }, reported: Reported): Promise<void> {
  const over = countedBytes(reported, deps.clock.now()) - QUOTA_BYTES;
  if (over < 0) return;
  await openQuota(deps, host);
  const seconds = Math.ceil((over + BATCH_BYTES) / (QUOTA_BYTES_PER_HOUR / 3600));
  throw new Failure(
    "request.quota_exceeded",
    `host "${host.name}" reports more than ${QUOTA_BYTES_PER_HOUR / MiB} MiB an hour; send again in ${seconds} s what is left`,
    [],
    { retryAfterSeconds: seconds },
  );
}

async function openQuota(deps: Deps, host: { id: Id; name: string }): Promise<void> {
  const ref: IncidentRef = { kind: "host.quota", host: host.id };
  const [open] = await deps.db
    .select({ id: incidents.id })
    .from(incidents)
    .where(and(eq(incidents.key, incidentKey(ref)), isNull(incidents.closedAt)));
  if (open !== undefined) return;
  const reason = `It reported more than ${QUOTA_BYTES / MiB} MiB at once, or ${QUOTA_BYTES_PER_HOUR / MiB} MiB an hour. The rest is refused until later, and kept on the host.`;
  const summary = `host "${host.name}" reports more than it may: its reports are taken slowly`;
  const event = { type: "host.quota_exceeded" as const, data: { host: { id: host.id, name: host.name }, reason } };
  await writeAll(deps.db, openIncident(deps, ref, { summary, event }));
  deps.wakeOutbox();
}

/** SQL: whether an incident host.quota is open. */
export function isQuotaDue(): SQL {
  return hasOpen("host.quota");
}

/** Closes host.quota where half of the quota is free again. */
export async function sweepQuotas(deps: Deps): Promise<void> {
  const rows = await deps.db
    .select({ id: hosts.id, name: hosts.name, bytes: hosts.reportedBytes, since: hosts.reportedSince })
    .from(incidents)
    .innerJoin(hosts, eq(hosts.id, incidents.host))
    .where(isOpenOfKind("host.quota"));
  const now = deps.clock.now();
  const over = rows.filter((reported) => countedBytes(reported, now) <= QUOTA_BYTES / 2);
  await writeInParts(
    deps.db,
    over.map(({ id, name }) => {
      const event = { type: "host.quota_kept" as const, data: { host: { id, name }, since: instant(now) } };
      const message = "it reports no more than it may";
      return closeIncident(deps, { kind: "host.quota", host: id }, { message, event });
    }),
  );
  if (over.length > 0) deps.wakeOutbox();
}
