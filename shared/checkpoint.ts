import * as z from "zod";
import { Instant } from "./ids.ts";

/** Payload of a checkpoint, signed by the control plane: where the chain was trimmed, and where it began again. */
export const Checkpoint = z.strictObject({
  sequence: z.int(),
  hash: z.string(),
  reason: z.enum(["trimmed", "restored"]),
  at: Instant,
});
export type Checkpoint = z.infer<typeof Checkpoint>;
