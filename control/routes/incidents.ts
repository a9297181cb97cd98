import { Hono } from "hono";
import * as z from "zod";
import { ListQuery, page } from "../../shared/api.ts";
import { Id } from "../../shared/ids.ts";
import { AcknowledgeIncident, Incident, IncidentKind, IncidentWithTimeline } from "../../shared/incident.ts";
import type { Deps } from "../deps.ts";
import { acknowledgeIncident } from "../domain/incidents/incidents.ts";
import { getIncident, listIncidents } from "../domain/incidents/views.ts";
import type { ApiEnv } from "./access.ts";
import { describeAnswer } from "./describe.ts";
import { body, query } from "./validate.ts";

const ListIncidents = ListQuery.extend({
  state: z.enum(["open", "closed"]).optional(),
  kind: IncidentKind.optional(),
  host: Id.optional(),
  binding: Id.optional(),
  repository: Id.optional(),
});

export function incidentRoutes(deps: Deps) {
  return new Hono<ApiEnv>()
    .get("/", describeAnswer(200, page(Incident), "List incidents"), query(ListIncidents), async (context) =>
      context.json(await listIncidents(deps, context.req.valid("query"))),
    )
    .get("/:id", describeAnswer(200, IncidentWithTimeline, "Read an incident and its timeline"), async (context) =>
      context.json(await getIncident(deps, context.req.param("id"))),
    )
    .post(
      "/:id/acknowledge",
      describeAnswer(200, IncidentWithTimeline, "Acknowledge an incident: stops its reminders"),
      body(AcknowledgeIncident),
      async (context) => {
        const id = context.req.param("id");
        await acknowledgeIncident(deps, id, { ...context.req.valid("json"), by: context.get("token").name });
        return context.json(await getIncident(deps, id));
      },
    );
}
