import * as z from "zod";
import { Id, Instant } from "./ids.ts";

/** The kinds of incidents, each with its subject. The names are promises; the list only grows. */
export const IncidentKind = z.enum([
  "binding.failing",
  "binding.late",
  "binding.stuck",
  "binding.unprotected",
  "binding.suspicious",
  "repository.failing",
  "repository.damaged",
  "repository.unreachable",
  "repository.stuck",
  "host.offline",
  "host.clock_wrong",
  "host.trouble",
  "host.approval",
  "host.quota",
  "host.cloned",
  "host.declaration_refused",
  "control.row",
]);
export type IncidentKind = z.infer<typeof IncidentKind>;

export const TimelineEntry = z.strictObject({
  at: Instant,
  what: z.enum(["opened", "closed", "reopened", "acknowledged", "reminded", "damped", "settled"]),
  message: z.string(),
});
export type TimelineEntry = z.infer<typeof TimelineEntry>;

export const Incident = z.strictObject({
  id: Id,
  kind: IncidentKind,
  detail: z
    .string()
    .describe("tells incidents of one kind apart: the kind of run that fails, the trouble's code; else empty"),
  host: Id.nullable(),
  binding: Id.nullable(),
  repository: Id.nullable(),
  summary: z.string().describe("what is wrong, with what, in one line"),
  openedAt: Instant,
  closedAt: Instant.nullable().describe("null while it is open"),
  acknowledgedAt: Instant.nullable().describe("no more reminders are sent"),
  acknowledgedBy: z.string().nullable().describe("the name of the token it was acknowledged with"),
  isFlapping: z.boolean().describe("it opens and closes so often that only that is notified"),
  openings: z.int().describe("how often it opened: more than once only while it flapped"),
});
export type Incident = z.infer<typeof Incident>;

export const IncidentWithTimeline = Incident.extend({
  timeline: z.array(TimelineEntry).describe("what happened to it, oldest first"),
});

export const AcknowledgeIncident = z.strictObject({
  note: z.string().min(1).max(1000).nullable().default(null).describe("for others"),
});
export type AcknowledgeIncident = z.infer<typeof AcknowledgeIncident>;
