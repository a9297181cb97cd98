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
import type { Questions } from "./questions.ts";

type SessionDeps = Pick<Deps, "db" | "clock"> & { readonly questions: Pick<Questions, "answer"> };
type RecordDeps = Pick<Deps, "db" | "clock">;

const PROGRESS_EVERY_MS = 1000;

/** The state of one connection. Losing `progressAt` (hibernation) only costs throttling. */
export interface Session {
  readonly host: Id;
  /** The connection's id in the database: a late close does not remove a newer connection. */
  readonly connection: Id;
  readonly progressAt: Map<Id, number>;
}

/** What the runtime does with the socket next: send these texts, then close it unless `close` is null. */
export interface Reaction {
  readonly send: readonly string[];
  readonly close: keyof typeof CLOSE | null;
}

export function newSession(host: Id, connection: Id): Session {
  return { host, connection, progressAt: new Map() };
}

/** The socket is open: records the connection. Closes it when the host was revoked since the upgrade. */
export async function handleOpen({ db, clock }: RecordDeps, session: Session): Promise<Reaction> {
  const now = instant(clock.now());
  const present = await db
    .update(hosts)
    .set({ connectionId: session.connection, connectedAt: now, lastSeenAt: now })
    .where(and(eq(hosts.id, session.host), isNull(hosts.revokedAt)))
    .returning({ id: hosts.id });
  return present.length === 0 ? close("revoked") : noReaction;
}

/**
 * Handles one incoming frame.
 * @param text null for a binary frame
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
    case "answer":
      deps.questions.answer(session.host, frame.id, frame.exists);
      return noReaction;
  }
}

/** The socket is closed: clears the host's connection, unless a newer one has replaced it. */
export async function handleClose({ db, clock }: RecordDeps, session: Session): Promise<void> {
  await db
    .update(hosts)
    .set({ connectionId: null, connectedAt: null, lastSeenAt: instant(clock.now()) })
    .where(and(eq(hosts.id, session.host), eq(hosts.connectionId, session.connection)));
}

const noReaction: Reaction = { send: [], close: null };

function close(why: keyof typeof CLOSE): Reaction {
  return { send: [], close: why };
}

/** Must parse for every protocol version, so that an unsupported version gets its own close code. */
const AnyHello = z.object({ type: z.literal("hello"), protocol: z.int() });

function welcome(now: number): string {
  return JSON.stringify({ type: "welcome", protocol: PROTOCOL, now: instant(now) } satisfies FrameFromControl);
}

/** Saves progress of the host's own running run, at most once a second. The rest is dropped. */
async function saveProgress({ db, clock }: RecordDeps, session: Session, run: Id, progress: Progress): Promise<void> {
  const now = clock.now();
  const last = session.progressAt.get(run);
  if (last !== undefined && now - last < PROGRESS_EVERY_MS) return;
  // Unchanged progress does not count as progress.
  const isSame = sql`json_remove(${runs.progress}, '$.at') is json_remove(${JSON.stringify(progress)}, '$.at')`;
  const kept = await db
    .update(runs)
    .set({ progress, progressAt: sql`case when ${isSame} then ${runs.progressAt} else ${instant(now)} end` })
    .where(and(eq(runs.id, run), eq(runs.host, session.host), eq(runs.state, "running")))
    .returning({ id: runs.id });
  // Only the host's own runs are kept in memory.
  if (kept.length > 0) session.progressAt.set(run, now);
}
