import { and, eq, isNull, sql } from "drizzle-orm";
import * as z from "zod";
import { hosts } from "../db/schema/hosts.ts";
import { runs } from "../db/schema/runs.ts";
import type { Deps } from "../deps.ts";
import { type Id, instant } from "../../shared/ids.ts";
import {
  type CLOSE,
  decode,
  FrameFromAgent,
  type FrameFromControl,
  MAX_FRAME_BYTES,
  PING_TEXT,
  PONG_TEXT,
  PROTOCOL,
} from "../../shared/protocol.ts";
import type { Progress } from "../../shared/run.ts";

type SessionDeps = Pick<Deps, "db" | "clock">;

const PROGRESS_EVERY_MS = 1000;

/** What is known of one connection. A runtime that forgets `progressAt` (hibernation) loses nothing. */
export interface Session {
  readonly host: Id;
  /** Names this connection in the database, so that a late close never takes a newer one away. */
  readonly connection: Id;
  readonly progressAt: Map<Id, number>;
}

/** What the runtime that holds the socket has to do next: send these texts, then close if told so. */
export interface Reaction {
  readonly send: readonly string[];
  readonly close: keyof typeof CLOSE | null;
}

export function newSession(host: Id, connection: Id): Session {
  return { host, connection, progressAt: new Map() };
}

/** The socket is open: writes the host's presence. A host revoked since it was let in is closed. */
export async function handleOpen({ db, clock }: SessionDeps, session: Session): Promise<Reaction> {
  const now = instant(clock.now());
  const present = await db
    .update(hosts)
    .set({ connectionId: session.connection, connectedAt: now, lastSeenAt: now })
    .where(and(eq(hosts.id, session.host), isNull(hosts.revokedAt)))
    .returning({ id: hosts.id });
  return present.length === 0 ? close("revoked") : noReaction;
}

/**
 * One frame came in.
 * @param text null when it was not text
 */
export async function handleFrame(deps: SessionDeps, session: Session, text: string | null): Promise<Reaction> {
  if (text === null || new TextEncoder().encode(text).length > MAX_FRAME_BYTES) return close("badFrame");
  if (text === PING_TEXT) return { send: [PONG_TEXT], close: null };
  const protocol = decode(AnyHello, text)?.protocol;
  if (protocol !== undefined && protocol !== PROTOCOL) return close("protocol");
  const frame = decode(FrameFromAgent, text);
  switch (frame?.type) {
    case undefined:
      return close("badFrame");
    case "hello":
      return { send: [welcome(deps.clock.now())], close: null };
    case "ping":
      return { send: [PONG_TEXT], close: null };
    case "pong":
      return noReaction;
    case "progress":
      await saveProgress(deps, session, frame.run, frame.progress);
      return noReaction;
  }
}

/** The socket is gone. Clears the presence only while it is still this connection's. */
export async function handleClose({ db, clock }: SessionDeps, session: Session): Promise<void> {
  await db
    .update(hosts)
    .set({ connectionId: null, connectedAt: null, lastSeenAt: instant(clock.now()) })
    .where(and(eq(hosts.id, session.host), eq(hosts.connectionId, session.connection)));
}

const noReaction: Reaction = { send: [], close: null };

function close(why: keyof typeof CLOSE): Reaction {
  return { send: [], close: why };
}

/** The one frame that must be understood from every version, so that the answer can name the reason. */
const AnyHello = z.object({ type: z.literal("hello"), protocol: z.int() });

function welcome(now: number): string {
  return JSON.stringify({ type: "welcome", protocol: PROTOCOL, now: instant(now) } satisfies FrameFromControl);
}

/** Only of a run of its own that is running, and at most once a second: the rest is dropped, it is only live. */
async function saveProgress({ db, clock }: SessionDeps, session: Session, run: Id, progress: Progress): Promise<void> {
  const now = clock.now();
  const last = session.progressAt.get(run);
  if (last !== undefined && now - last < PROGRESS_EVERY_MS) return;
  // Told again without change, it did not get on.
  const isSame = sql`json_remove(${runs.progress}, '$.at') is json_remove(${JSON.stringify(progress)}, '$.at')`;
  const kept = await db
    .update(runs)
    .set({ progress, progressAt: sql`case when ${isSame} then ${runs.progressAt} else ${instant(now)} end` })
    .where(and(eq(runs.id, run), eq(runs.host, session.host), eq(runs.state, "running")))
    .returning({ id: runs.id });
  // Only runs that are really its own take memory.
  if (kept.length > 0) session.progressAt.set(run, now);
}
