import * as z from "zod";
import { Id, Instant } from "./ids.ts";

/** Payload of a checkpoint, signed by the control plane: where the chain was trimmed, and where it began again. */
export const Checkpoint = z.strictObject({
  sequence: z.int(),
  hash: z.string(),
  reason: z.enum(["trimmed", "restored"]),
  at: Instant,
});
export type Checkpoint = z.infer<typeof Checkpoint>;

/** The header of `GET /agent/v1/orders` with a signed `ChainHead`. */
export const CHAIN_HEAD_HEADER = "holdfast-chain-head";

/** The newest entry of the control plane's audit, signed for one host, which remembers it. */
export const ChainHead = z.strictObject({
  host: Id,
  sequence: z.int().min(0),
  hash: z.string().max(64),
  issuedAt: Instant,
  restoredAt: Instant.nullable().describe("when the control plane was last restored from its own backup"),
});
export type ChainHead = z.infer<typeof ChainHead>;
