import * as z from "zod";
import { Id, Instant } from "./ids.ts";
import { Progress } from "./run.ts";
import { UserName } from "./unix.ts";

/**
 * The frames of the socket. Nothing that must not be lost is sent here.
 *
 * 1 (2026-11-23) first version: hello, welcome, poke, ping, pong, progress.
 *
 * 1 (2026-11-29) ask and answer, only with agents that offer it in the upgrade (`ANSWERS_HEADER`).
 */
export const PROTOCOL = 1;
export const SUBPROTOCOL = "holdfast.v1";
/** In an agent's upgrade: what it answers when asked. An older agent sends none, and is not asked. */
export const ANSWERS_HEADER = "holdfast-answers";
export const ANSWERS_USER = "user";
/** A larger frame closes the socket. */
export const MAX_FRAME_BYTES = 65_536;

const Ping = z.strictObject({ type: z.literal("ping") });
const Pong = z.strictObject({ type: z.literal("pong") });

/** Ping and pong as they are on the wire: a hibernating socket answers them without waking up. */
export const PING_TEXT = '{"type":"ping"}';
export const PONG_TEXT = '{"type":"pong"}';

export const FrameFromAgent = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("hello"), protocol: z.int(), agentVersion: z.string().max(64) }),
  Ping,
  Pong,
  z.strictObject({ type: z.literal("progress"), run: Id, progress: Progress }),
  z.strictObject({ type: z.literal("answer"), id: Id.describe("of the question"), exists: z.boolean() }),
]);
export type FrameFromAgent = z.infer<typeof FrameFromAgent>;

export const FrameFromControl = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("welcome"), protocol: z.int(), now: Instant }),
  Ping,
  Pong,
  z.strictObject({ type: z.literal("poke"), pull: z.enum(["assignment", "orders"]) }),
  z.strictObject({ type: z.literal("ask"), id: Id, user: UserName.describe("is there such a user on the host?") }),
]);
export type FrameFromControl = z.infer<typeof FrameFromControl>;

/** Our close codes. The agent logs them, and keeps retrying (rarely after `revoked`). */
export const CLOSE = {
  badFrame: { code: 4400, reason: "that frame is not of this protocol" },
  revoked: { code: 4401, reason: "this host is revoked" },
  replaced: { code: 4409, reason: "a newer connection of this host took over" },
  protocol: { code: 4426, reason: "control plane and agent speak different protocol versions: upgrade the older" },
  silent: { code: 4408, reason: "no sign of life" },
} as const;

/** @returns the frame, or null when the text is not one */
export function decode<T>(schema: z.ZodType<T>, text: string): T | null {
  try {
    const frame = schema.safeParse(JSON.parse(text));
    return frame.success ? frame.data : null;
  } catch {
    return null;
  }
}
