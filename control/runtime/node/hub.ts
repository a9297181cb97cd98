import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocket, WebSocketServer } from "ws";
import type { Deps, Hub } from "../../deps.ts";
import { openQuestions } from "../../hub/questions.ts";
import { handleClose, newSession, handleOpen, handleFrame, type Reaction, type Session } from "../../hub/session.ts";
import { type Id, uuidv7 } from "../../../shared/ids.ts";
import {
  ANSWERS_HEADER,
  ANSWERS_USER,
  CLOSE,
  type FrameFromControl,
  MAX_FRAME_BYTES,
  PING_TEXT,
  SUBPROTOCOL,
} from "../../../shared/protocol.ts";

const PING_EVERY_MS = 30_000;
/** Counted in pings, not measured, so that a changed clock closes no live socket and keeps no dead one. */
const SILENT_AFTER_PINGS = 3;
/** Time for a peer to answer a close before its socket is terminated. */
const CLOSING_MS = 2_000;
const GOING_AWAY = 1001;
const INTERNAL_ERROR = 1011;

interface Peer {
  readonly socket: WebSocket;
  readonly session: Session;
  /** Its agent answers questions. */
  readonly answers: boolean;
  /** Pings since its last frame. */
  missedPings: number;
  /** Frames are handled one after another, the close last. */
  work: Promise<void>;
}

export interface NodeHub extends Hub {
  /** Takes over an HTTP upgrade of an authenticated host. */
  accept(host: Id, request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Pings every peer and closes those silent for 90 s. Runs every 30 s; tests call it directly. */
  pingAll(): void;
  /** Closes all sockets with 1001 and waits until their disconnects are recorded. */
  close(): Promise<void>;
}

/** The hub of one process: every socket is in its memory. */
export function createHub(deps: Pick<Deps, "db" | "clock" | "random" | "log">): NodeHub {
  const peers = new Map<Id, Peer>();
  const questions = openQuestions();
  const pendingDisconnects = new Set<Promise<void>>();
  /** Sessions whose disconnect could not be recorded yet. Until then their hosts are shown as online. */
  const unrecordedSessions = new Set<Session>();
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    // A frame slightly too large gets our close code; ws terminates on a much larger one.
    maxPayload: 4 * MAX_FRAME_BYTES,
    handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  });

  const runInOrder = (peer: Peer, step: () => Promise<Reaction | void>): Promise<void> => {
    peer.work = peer.work.then(step).then(
      (reaction) => {
        if (reaction) react(peer, reaction);
      },
      (error: unknown) => {
        deps.log.error("a host's socket failed", { host: peer.session.host, error: String(error) });
        closeSocket(peer.socket, INTERNAL_ERROR, "the control plane failed; connect again");
      },
    );
    return peer.work;
  };

  const recordDisconnect = async (session: Session): Promise<void> => {
    try {
      await handleClose(deps, session);
      unrecordedSessions.delete(session);
    } catch (error) {
      unrecordedSessions.add(session);
      deps.log.error("a host's disconnect could not be recorded yet", { host: session.host, error: String(error) });
    }
  };

  const addPeer = (host: Id, socket: WebSocket, answers: boolean): void => {
    const id = uuidv7(deps.clock.now(), deps.random(16));
    const peer: Peer = { socket, session: newSession(host, id), answers, missedPings: 0, work: Promise.resolve() };
    const older = peers.get(host);
    peers.set(host, peer);
    if (older !== undefined) closePeer(older, "replaced");
    socket.on("error", () => undefined);
    socket.on("message", (data: Buffer, isBinary) => {
      peer.missedPings = 0;
      const text = isBinary ? null : data.toString("utf8");
      void runInOrder(peer, async () =>
        closingSockets.has(socket) ? undefined : handleFrame({ ...deps, questions }, peer.session, text),
      );
    });
    socket.once("close", () => {
      if (peers.get(host) === peer) peers.delete(host);
      const recorded = runInOrder(peer, () => recordDisconnect(peer.session));
      pendingDisconnects.add(recorded);
      void recorded.then(() => pendingDisconnects.delete(recorded));
    });
    // After the older connection's last frames, so that the newest connection is recorded last.
    void runInOrder(peer, async () => {
      await older?.work;
      return handleOpen(deps, peer.session);
    });
  };

  const hub: NodeHub = {
    accept: (host, request, socket, head) =>
      server.handleUpgrade(request, socket, head, (peer) =>
        addPeer(host, peer, request.headers[ANSWERS_HEADER] === ANSWERS_USER),
      ),
    poke: async (host, pull) =>
      send(peers.get(host), JSON.stringify({ type: "poke", pull } satisfies FrameFromControl)),
    ask: async (host, { user }) => {
      const peer = peers.get(host);
      if (peer === undefined || !peer.answers) return null;
      const id = uuidv7(deps.clock.now(), deps.random(16));
      return await questions.ask({ host, id, user }, (text) => send(peer, text));
    },
    lastHeardAt: async (hosts) => {
      const now = deps.clock.now();
      return new Map(
        hosts.flatMap((host) => {
          const peer = peers.get(host);
          return peer === undefined ? [] : [[host, now - peer.missedPings * PING_EVERY_MS] as const];
        }),
      );
    },
    mostAsked: Number.POSITIVE_INFINITY,
    disconnect: async (host, why) => {
      const peer = peers.get(host);
      if (peer !== undefined) closePeer(peer, why);
    },
    pingAll: () => {
      for (const peer of peers.values()) {
        if (++peer.missedPings >= SILENT_AFTER_PINGS) closePeer(peer, "silent");
        else send(peer, PING_TEXT);
      }
      for (const session of unrecordedSessions) void recordDisconnect(session);
    },
    close: async () => {
      clearInterval(timer);
      const open = [...server.clients];
      const gone = open.map((socket) => new Promise((resolve) => socket.once("close", resolve)));
      for (const socket of open) closeSocket(socket, GOING_AWAY, "the control plane is stopping");
      await Promise.all(gone);
      await Promise.all(pendingDisconnects);
    },
  };
  const timer = setInterval(hub.pingAll, PING_EVERY_MS).unref();
  return hub;
}

function send(peer: Peer | undefined, text: string): void {
  if (peer?.socket.readyState === WebSocket.OPEN) peer.socket.send(text);
}

function react(peer: Peer, reaction: Reaction): void {
  for (const text of reaction.send) send(peer, text);
  if (reaction.close !== null) closePeer(peer, reaction.close);
}

function closePeer(peer: Peer, why: keyof typeof CLOSE): void {
  closeSocket(peer.socket, CLOSE[why].code, CLOSE[why].reason);
}

/** Sockets being closed: their remaining frames are ignored. */
const closingSockets = new WeakSet<WebSocket>();

/** Closes a socket, and terminates it when the peer does not answer the close (a dead network). */
function closeSocket(socket: WebSocket, code: number, reason: string): void {
  if (closingSockets.has(socket)) return;
  closingSockets.add(socket);
  socket.close(code, reason);
  const timer = setTimeout(() => socket.terminate(), CLOSING_MS).unref();
  socket.once("close", () => clearTimeout(timer));
}
