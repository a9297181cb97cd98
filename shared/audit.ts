import * as z from "zod";
import { Checkpoint } from "./checkpoint.ts";
import { Id, Instant } from "./ids.ts";

/** Long values are shortened. */
const AuditedObject = z.record(z.string(), z.unknown());

/** One change requested through the API, whether it was done or not. Never contains a secret. */
export const AuditEntry = z.strictObject({
  id: Id,
  at: Instant,
  by: Id.describe("the id of the API token, or of the host"),
  byName: z.string().describe("its name at that time"),
  byKind: z.enum(["token", "host"]),
  method: z.enum(["POST", "PUT", "PATCH", "DELETE"]),
  route: z.string().describe("as in the description of the API: /api/v1/bindings/:id/run"),
  object: z.string().nullable().describe("the id of what was changed, run or created; null when there is none"),
  status: z.int().describe("of the answer: 2xx when it succeeded"),
  address: z.string().nullable().describe("where the request came from; null: not known"),
  before: AuditedObject.nullable().describe("what was changed, as the API shows it: the keys that changed, before"),
  after: AuditedObject.nullable().describe("the same keys after it; null when it is gone"),
  sequence: z.int().nullable().describe("its number in the chain; null: written by version 0.2, before there was one"),
});
export type AuditEntry = z.infer<typeof AuditEntry>;

/** One part of the audit, checked. Ask again from `next` until it is null or there is a fault. */
export const AuditVerification = z.strictObject({
  verified: z.int().describe("entries of this part"),
  from: z.int().nullable().describe("the first number in this part; null: there is none"),
  to: z.int().nullable().describe("the last number that is right"),
  next: z.int().nullable(),
  fault: z
    .strictObject({ sequence: z.int().nullable(), message: z.string() })
    .nullable()
    .describe("where the chain breaks first"),
  checkpoints: z.array(Checkpoint),
});
export type AuditVerification = z.infer<typeof AuditVerification>;
