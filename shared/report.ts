import * as z from "zod";
import { Id, Instant } from "./ids.ts";
import { LOG_TAIL_BYTES, Run, SnapshotFacts } from "./run.ts";

/**
 * An agent's report of a run. Sent at least once, with every change of the run, and again until it is accepted.
 * `sequence` grows with every change of the run on the host: an older report never overwrites a newer one.
 */
export const RunReport = z.strictObject({
  type: z.literal("run"),
  sequence: z.int().min(1),
  run: Run.omit({ host: true, progress: true }),
  log: z.string().max(LOG_TAIL_BYTES),
  suspicious: z
    .string()
    .max(4096)
    .nullable()
    .default(null)
    .describe(
      "of a backup: why its sources look suspicious, whether or not something was stored; null when they do not",
    ),
  engineId: z.string().min(1).max(128).nullable().describe("the repository's own id, once the agent has seen it"),
  snapshots: z
    .array(SnapshotFacts)
    .max(10_000)
    .nullable()
    .describe("all snapshots of the binding as listed after the run; null when they were not listed"),
});
export type RunReport = z.infer<typeof RunReport>;

export const RefusalCode = z.enum([
  "assignment.bad_signature",
  "assignment.foreign",
  "assignment.older",
  "assignment.invalid",
  "order.bad_signature",
  "order.foreign",
  "order.replayed",
  "order.expired",
  "order.invalid",
  "key.refused",
  "policy.hooks",
  "policy.sources",
  "policy.repositories",
  "policy.users",
  "policy.restore",
  "policy.services",
  "policy.append_only",
]);
export type RefusalCode = z.infer<typeof RefusalCode>;

/** Something the control plane asked for and the host refused. Becomes the notification `host.policy_refused`. */
export const Refusal = z.strictObject({
  type: z.literal("refusal"),
  id: Id,
  at: Instant,
  code: RefusalCode,
  subject: z.string().max(256).describe("what was refused: a binding's name, an order's id, a revision"),
  message: z.string().max(4096),
});
export type Refusal = z.infer<typeof Refusal>;

export const Report = z.discriminatedUnion("type", [RunReport, Refusal]);
export type Report = z.infer<typeof Report>;

export const Reports = z.strictObject({ reports: z.array(Report).min(1).max(100) });
/** The ids of the runs and refusals in the database. What is missing here is sent again. */
export const ReportsAccepted = z.object({ accepted: z.array(Id) });
