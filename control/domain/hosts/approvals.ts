import { and, desc, eq, isNull, sql } from "drizzle-orm";
import type { Page } from "../../../shared/api.ts";
import type { Approval, HostApproval } from "../../../shared/approval.ts";
import { uuidv7, type Id } from "../../../shared/ids.ts";
import { approvals, hosts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { closeIncident, openIncident, type IncidentRef } from "../incidents/incidents.ts";
import { isPastCursor, type ListInput, matches, pageOf } from "../page.ts";

/** What root types on the host to approve it. */
export function approveCommand(key: string): string {
  return `holdfast-agent approve ${key}`;
}

/** Lists what waits for root, on one host or on all, the newest wait first. */
export async function listApprovals(
  deps: Pick<Deps, "db">,
  input: ListInput & { host?: Id | undefined },
): Promise<Page<Approval>> {
  const rows = await deps.db
    .select({ approval: approvals, id: approvals.id, hostName: hosts.name })
    .from(approvals)
    .innerJoin(hosts, eq(hosts.id, approvals.host))
    .where(and(isPastCursor(approvals.id, input), matches(approvals.host, input.host)))
    .orderBy(desc(approvals.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, ({ approval, hostName }) => ({
    ...approval,
    hostName,
    command: approveCommand(approval.key),
  }));
}

/**
 * Statements that make the stored waits of a host equal to the reported ones, and open or close its incident: one while
 * anything waits. Always two statements for the waits, however many they are.
 * @param reported of keys that differ
 */
export async function syncApprovals(
  deps: Deps,
  host: Id,
  reported: readonly HostApproval[],
): Promise<{ statements: Statement[]; notifies: boolean }> {
  const ref: IncidentRef = { kind: "host.approval", host };
  const [named, waiting, open] = await deps.db.batch([
    deps.db.select({ name: hosts.name }).from(hosts).where(eq(hosts.id, host)),
    deps.db.select({ key: approvals.key }).from(approvals).where(eq(approvals.host, host)).limit(1),
    deps.db
      .select({ id: incidents.id })
      .from(incidents)
      .where(and(eq(incidents.host, host), eq(incidents.kind, "host.approval"), isNull(incidents.closedAt))),
  ]);
  const who = { id: host, name: named[0]?.name ?? "" };
  const isOpen = open.length > 0;
  if (reported.length === 0) {
    if (waiting.length === 0 && !isOpen) return { statements: [], notifies: false };
    const event = { type: "host.approval_given" as const, data: { host: who } };
    return {
      statements: [
        deleteApprovals(deps, host),
        ...closeIncident(deps, ref, { message: "nothing waits for root any more", event }),
      ],
      notifies: isOpen,
    };
  }
  return {
    statements: [...saveApprovals(deps, host, reported), ...(isOpen ? [] : openApproval(deps, ref, who, reported))],
    notifies: !isOpen,
  };
}

/** For the batch that deletes or revokes a host: it asks nothing of root any more. */
export function deleteApprovals({ db }: Pick<Deps, "db">, host: Id): Statement {
  return db.delete(approvals).where(eq(approvals.host, host));
}

const SHOWN = 5;

function openApproval(
  deps: Deps,
  ref: IncidentRef,
  host: { id: Id; name: string },
  reported: readonly HostApproval[],
): Statement[] {
  const [first] = reported;
  const more = reported.length === 1 ? "" : `, and ${reported.length - 1} more`;
  const summary = `host "${host.name}" waits for root: ${first?.summary ?? ""}${more}`;
  const items = reported.slice(0, SHOWN).map(({ key, kind, summary: what }) => ({ key, kind, summary: what }));
  const data = { host, items, more: reported.length - items.length };
  return openIncident(deps, ref, { summary, event: { type: "host.approval_needed", data } });
}

function saveApprovals({ db, random }: Deps, host: Id, reported: readonly HostApproval[]): Statement[] {
  const rows = JSON.stringify(
    reported.map((approval) => ({ ...approval, id: uuidv7(Date.parse(approval.since), random(10)) })),
  );
  const field = (name: string) => sql`json_extract(listed.value, ${`$.${name}`})`;
  const inList = sql`select ${field("key")} from json_each(${rows}) as listed`;
  return [
    db.delete(approvals).where(and(eq(approvals.host, host), sql`${approvals.key} not in (${inList})`)),
    // The id stays while it waits, so that a list can be read page by page meanwhile.
    db.run(sql`
      insert into ${approvals} (id, host, key, kind, summary, bindings, since)
      select ${field("id")}, ${host}, ${field("key")}, ${field("kind")}, ${field("summary")}, ${field("bindings")}, ${field("since")}
      from json_each(${rows}) as listed where true
      on conflict (host, key) do update set
        kind = excluded.kind, summary = excluded.summary, bindings = excluded.bindings, since = excluded.since`),
  ];
}
