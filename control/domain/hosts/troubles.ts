import { and, eq, isNull } from "drizzle-orm";
import type { HostTrouble } from "../../../shared/host.ts";
import type { Id } from "../../../shared/ids.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import type { EventDraft } from "../../db/schema/notifications.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { closeIncident, openIncident, type IncidentRef } from "../incidents/incidents.ts";

/** Statements that open one incident per reported trouble, and close it when it is no longer reported. */
export async function syncHostTroubles(deps: Deps, host: Id, reported: readonly HostTrouble[]): Promise<Statement[]> {
  const [named, open] = await deps.db.batch([
    deps.db.select({ name: hosts.name }).from(hosts).where(eq(hosts.id, host)),
    deps.db
      .select({ detail: incidents.detail, summary: incidents.summary })
      .from(incidents)
      .where(and(eq(incidents.host, host), eq(incidents.kind, "host.trouble"), isNull(incidents.closedAt))),
  ]);
  const who = { id: host, name: named[0]?.name ?? "" };
  const details = new Set(reported.map(detailOf));
  return [
    ...reported.flatMap((one) => {
      const summary = `${who.name}: ${one.message}`;
      return openIncident(deps, troubleIncident(host, detailOf(one)), {
        summary,
        event: troubleEvent("host.trouble", who, one),
      });
    }),
    ...open.flatMap(({ detail, summary }) => {
      if (details.has(detail)) return [];
      const [code = "", ...subject] = detail.split(" ");
      const event = troubleEvent("host.trouble_over", who, { code, subject: subject.join(" "), message: summary });
      return closeIncident(deps, troubleIncident(host, detail), { message: "the host no longer reports it", event });
    }),
  ];
}

function troubleIncident(host: Id, detail: string): IncidentRef {
  return { kind: "host.trouble", host, detail };
}

function detailOf({ code, subject }: HostTrouble): string {
  return `${code} ${subject}`;
}

function troubleEvent(
  type: "host.trouble" | "host.trouble_over",
  host: { id: Id; name: string },
  { code, subject, message }: { code: string; subject: string; message: string },
): EventDraft {
  return { type, data: { host, code, subject, message } };
}
