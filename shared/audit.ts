import * as z from "zod";
import { Id, Instant } from "./ids.ts";

/** One change requested through the API, whether it was done or not. Never contains a body or a secret. */
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
});
export type AuditEntry = z.infer<typeof AuditEntry>;
