import * as z from "zod";
import { Id, Instant, Name } from "./ids.ts";

/**
 * How far a host trusts its control plane. `guarded`: it may do everything but open new ways out or in, which wait for
 * root. `ask`: everything new waits for root. `open`: only what the policy forbids is refused.
 */
export const Level = z.enum(["guarded", "ask", "open"]);
export type Level = z.infer<typeof Level>;

/** What kind of thing waits for root's yes. */
export const ApprovalKind = z.enum([
  "repository",
  "source",
  "contract",
  "hook",
  "command",
  "service",
  "outgoing",
  "append-only",
  "retention",
  "forget",
  "restore",
]);
export type ApprovalKind = z.infer<typeof ApprovalKind>;

/** The first 16 hex digits of the SHA-256 of what is asked for: an approval is for its content, not for a name. */
export const ApprovalKey = z
  .string()
  .regex(/^[0-9a-f]{16}$/, "must be the 16 digits that 'holdfast-agent approve' shows");

/** Something the control plane asked for that waits for root on the host. */
export const HostApproval = z.strictObject({
  key: ApprovalKey,
  kind: ApprovalKind,
  summary: z.string().max(2000).describe("what is asked for, in sentences for a person"),
  bindings: z.array(z.string().max(64)).max(100).describe("names of the bindings that wait for it"),
  since: Instant,
});
export type HostApproval = z.infer<typeof HostApproval>;

/** The most approvals a host reports. */
export const MAX_APPROVALS = 200;

export const Approval = HostApproval.extend({
  id: Id.describe("of this wait, for the cursor of a list; `key` is what root approves"),
  host: Id,
  hostName: Name,
  command: z.string().describe("what root types on the host to say yes"),
});
export type Approval = z.infer<typeof Approval>;
