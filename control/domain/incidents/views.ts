import { and, desc, eq, isNotNull, isNull } from "drizzle-orm";
import type * as z from "zod";
import type { Page } from "../../../shared/api.ts";
import type { Id } from "../../../shared/ids.ts";
import type { Incident, IncidentKind, IncidentWithTimeline } from "../../../shared/incident.ts";
import { incidents } from "../../db/schema/incidents.ts";
import type { Deps } from "../../deps.ts";
import { isPastCursor, type ListInput, matches, pageOf } from "../page.ts";
import { notFound } from "../errors.ts";

export async function listIncidents(
  deps: Pick<Deps, "db">,
  input: ListInput & {
    state?: "open" | "closed" | undefined;
    kind?: IncidentKind | undefined;
    host?: Id | undefined;
    binding?: Id | undefined;
    repository?: Id | undefined;
  },
): Promise<Page<Incident>> {
  const rows = await deps.db
    .select()
    .from(incidents)
    .where(
      and(
        isPastCursor(incidents.id, input),
        input.state === undefined
          ? undefined
          : input.state === "open"
            ? isNull(incidents.closedAt)
            : isNotNull(incidents.closedAt),
        matches(incidents.kind, input.kind),
        matches(incidents.host, input.host),
        matches(incidents.binding, input.binding),
        matches(incidents.repository, input.repository),
      ),
    )
    .orderBy(desc(incidents.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, toIncident);
}

export async function getIncident(deps: Pick<Deps, "db">, id: Id): Promise<z.infer<typeof IncidentWithTimeline>> {
  const [row] = await deps.db.select().from(incidents).where(eq(incidents.id, id));
  if (row === undefined) throw notFound("incidents", id);
  return { ...toIncident(row), timeline: row.timeline };
}

function toIncident(row: typeof incidents.$inferSelect): Incident {
  const { id, kind, detail, host, binding, repository, summary, ...rest } = row;
  const { openedAt, closedAt, acknowledgedAt, acknowledgedBy, isFlapping, openings } = rest;
  const instants = { openedAt, closedAt, acknowledgedAt };
  return { id, kind, detail, host, binding, repository, summary, ...instants, acknowledgedBy, isFlapping, openings };
}
