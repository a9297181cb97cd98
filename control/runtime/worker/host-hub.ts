import { DurableObject } from "cloudflare:workers";
import * as z from "zod";
import { openQuestions } from "../../hub/questions.ts";
import { handleClose, newSession, handleOpen, handleFrame, type Reaction, type Session } from "../../hub/session.ts";
import { Id, idTimeMs, uuidv7 } from "../../../shared/ids.ts";
import {
  ANSWERS_HEADER,
  ANSWERS_USER,
  CLOSE,
  type FrameFromControl,
  PING_TEXT,
  PONG_TEXT,
  SUBPROTOCOL,
} from "../../../shared/protocol.ts";
import { openDatabase } from "./database.ts";
import type { Env } from "./env.ts";
import { log } from "./log.ts";

/** Attached to each socket, so that it survives hibernation. */
const Attachment = z.object({ host: Id, connection: Id, answers: z.boolean().default(false) });
type Attachment = z.infer<typeof Attachment>;

const NORMAL = 1000;
const NO_CODE = 1005;
const INTERNAL_ERROR = 1011;

/**
 * Holds the socket of one host, and hibernates between frames. Only this Worker can reach it, so the host's id in an
 * upgrade's URL is authenticated already. Methods for other requests return a result and never throw.
 */
export class HostHub extends DurableObject<Env> {
  readonly #questions = openQuestions();
  readonly #sessions = new WeakMap<WebSocket, Session>();
  /** Frames are handled one after another, the close last. */
  #work: Promise<void> = Promise.resolve();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING_TEXT, PONG_TEXT));
  }

  /** Opens a socket. Older ones are closed: the newest wins. */
  override async fetch(request: Request): Promise<Response> {
    const host = Id.parse(new URL(request.url).pathname.slice(1));
    const { 0: theirs, 1: ours } = new WebSocketPair();
    for (const older of this.#open()) closeSocket(older, CLOSE.replaced);
    this.ctx.acceptWebSocket(ours);
    const answers = request.headers.get(ANSWERS_HEADER) === ANSWERS_USER;
    ours.serializeAttachment({ host, connection: newConnection(), answers } satisfies Attachment);
    await this.#runInOrder(ours, (session) => handleOpen(this.#deps(), session));
    return new Response(null, { status: 101, webSocket: theirs, headers: { "sec-websocket-protocol": SUBPROTOCOL } });
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const text = typeof message === "string" ? message : null;
    await this.#runInOrder(socket, (session) =>
      handleFrame({ ...this.#deps(), questions: this.#questions }, session, text),
    );
  }

  /** Answers the close at once; the runtime would take ten seconds. */
  override async webSocketClose(socket: WebSocket, code: number): Promise<void> {
    closeSocket(socket, { code: code === NO_CODE ? NORMAL : code, reason: "" });
    await this.#runInOrder(socket, (session) => handleClose(this.#deps(), session));
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    await this.#runInOrder(socket, (session) => handleClose(this.#deps(), session));
  }

  /** @returns whether the host has an open socket */
  poke(pull: "assignment" | "orders"): boolean {
    const text = JSON.stringify({ type: "poke", pull } satisfies FrameFromControl);
    const open = this.#open();
    for (const socket of open) socket.send(text);
    return open.length > 0;
  }

  /** @returns what the host says; null when its agent can't be asked, or does not answer in time */
  async ask(user: string): Promise<boolean | null> {
    for (const socket of this.#open()) {
      const { host, answers } = Attachment.parse(socket.deserializeAttachment());
      // Not in order with the frames: one of them brings the answer.
      if (answers) return await this.#questions.ask({ host, id: newConnection(), user }, (text) => socket.send(text));
    }
    return null;
  }

  /** Time of the last connection or ping. Pings are answered without waking the object up. */
  lastHeardAt(): number | null {
    const heard = this.#open().map((socket) =>
      Math.max(
        idTimeMs(this.#sessionOf(socket).connection),
        this.ctx.getWebSocketAutoResponseTimestamp(socket)?.getTime() ?? 0,
      ),
    );
    return heard.length === 0 ? null : Math.max(...heard);
  }

  /** @returns whether there was a socket to close */
  async disconnect(why: keyof typeof CLOSE): Promise<boolean> {
    const open = this.#open();
    for (const socket of open) {
      closeSocket(socket, CLOSE[why]);
      // Does not wait for the answer to the close: a host on a dead network never sends one.
      await this.#runInOrder(socket, (session) => handleClose(this.#deps(), session));
    }
    return open.length > 0;
  }

  #open(): WebSocket[] {
    return this.ctx.getWebSockets().filter((socket) => socket.readyState === WebSocket.OPEN);
  }

  #runInOrder(socket: WebSocket, step: (session: Session) => Promise<Reaction | void>): Promise<void> {
    this.#work = this.#work.then(async () => {
      try {
        const reaction = await step(this.#sessionOf(socket));
        for (const text of reaction?.send ?? []) socket.send(text);
        if (reaction?.close) closeSocket(socket, CLOSE[reaction.close]);
      } catch (error) {
        log.error("a host's socket failed", { object: this.ctx.id.name, error: String(error) });
        closeSocket(socket, { code: INTERNAL_ERROR, reason: "the control plane failed; connect again" });
      }
    });
    return this.#work;
  }

  #sessionOf(socket: WebSocket): Session {
    const known = this.#sessions.get(socket);
    if (known !== undefined) return known;
    const { host, connection } = Attachment.parse(socket.deserializeAttachment());
    const session = newSession(host, connection);
    this.#sessions.set(socket, session);
    return session;
  }

  /** New for each event, so that a failed client is not reused. */
  #deps() {
    return {
      db: openDatabase(this.env.HOLDFAST_DATABASE_URL, this.env.HOLDFAST_DATABASE_TOKEN),
      clock: { now: () => Date.now() },
    };
  }
}

function newConnection(): Id {
  return uuidv7(Date.now(), crypto.getRandomValues(new Uint8Array(16)));
}

/** Closes a socket. Ignores the errors of a closed socket and of a code that may not be sent. */
function closeSocket(socket: WebSocket, { code, reason }: { code: number; reason: string }): void {
  try {
    socket.close(code, reason);
  } catch {
    // Closed already.
  }
}
