import WebSocket from "ws";
import type { RawData } from "ws";
import { createBackoff } from "../../shared/backoff.ts";
import type { Id } from "../../shared/ids.ts";
import {
  CLOSE,
  decode,
  FrameFromControl,
  MAX_FRAME_BYTES,
  PING_TEXT,
  PONG_TEXT,
  PROTOCOL,
  SUBPROTOCOL,
} from "../../shared/protocol.ts";
import type { FrameFromAgent } from "../../shared/protocol.ts";
import type { Progress } from "../../shared/run.ts";
import { throttleProgress } from "./progress.ts";
import type { Timers } from "../system/timers.ts";

export interface ConnectionDeps {
  timers: Timers;
  /** 0 to 1, for the jitter. */
  random: () => number;
  log: (line: string) => void;
  agentVersion: string;
  target: () => Promise<{ url: string; headers: Record<string, string> }>;
  /** Called when the upgrade was refused: only an HTTP request says why. */
  isRevoked: () => Promise<boolean>;
  onOnline: () => void;
  onOffline: () => void;
  onPoke: (pull: "assignment" | "orders") => void;
  /** Whether the host has that user. One question at a time. */
  onAsk: (user: string) => Promise<boolean>;
}

export interface Connection {
  isOnline(): boolean;
  /** Live progress: at most once a second per run, and dropped while offline. */
  sendProgress(run: Id, progress: Progress): void;
  stop(): void;
}

const PING_EVERY_MS = 30_000;
const SILENT_AFTER_MS = 75_000;
const STABLE_AFTER_MS = 60_000;
const HANDSHAKE_WITHIN_MS = 20_000;
const TERMINATE_AFTER_MS = 2_000;
const MOST_QUESTIONS = 16;
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
const REVOKED_RETRY_MS = 3_600_000;

/** Keeps one socket to the control plane open until stopped. */
export function keepConnected(deps: ConnectionDeps): Connection {
  const backoff = createBackoff({ firstMs: FIRST_RETRY_MS, longestMs: LONGEST_RETRY_MS, random: deps.random });
  let socket: Socket | null = null;
  let isStopped = false;
  let cancelRetry = (): void => {};

  const retryAfter = (milliseconds: number): void => {
    if (!isStopped) cancelRetry = deps.timers.after(milliseconds, () => void connect());
  };
  const onSocketEnd = async (end: SocketEnd): Promise<void> => {
    const wasOnline = socket?.isReady() ?? false;
    socket = null;
    if (wasOnline) deps.onOffline();
    if (isStopped) return;
    const isRevoked = end.code === CLOSE.revoked.code || (!end.wasOpen && (await deps.isRevoked()));
    if (isRevoked) {
      deps.log(
        "the control plane has revoked this host: backups continue, but are not reported. Enrol it again to have it managed",
      );
      return retryAfter(REVOKED_RETRY_MS);
    }
    if (end.code === CLOSE.replaced.code) {
      deps.log("another agent connected with this host's key: if this machine was cloned, enrol the clone again");
      return retryAfter(backoff.longest());
    }
    if (wasOnline) deps.log(`the socket is closed: ${end.reason}`);
    retryAfter(backoff.next());
  };
  const connect = async (): Promise<void> => {
    let target: { url: string; headers: Record<string, string> };
    try {
      target = await deps.target();
    } catch (error) {
      deps.log(`the socket can't be opened: ${String(error)}`);
      return retryAfter(backoff.next());
    }
    if (isStopped) return;
    socket = openSocket(deps, target, { backoff, onSocketEnd: (end) => void onSocketEnd(end) });
  };
  const progress = throttleProgress(deps.timers, (run, latest) => {
    if (socket?.isReady() ?? false) socket?.send({ type: "progress", run, progress: latest });
  });

  void connect();
  return {
    isOnline: () => socket?.isReady() ?? false,
    sendProgress: progress.send,
    stop() {
      isStopped = true;
      cancelRetry();
      progress.stop();
      socket?.close(1000, "the agent stops");
    },
  };
}

interface SocketEnd {
  /** 1006 when closed without a close frame. */
  code: number;
  reason: string;
  wasOpen: boolean;
}

interface Socket {
  isReady(): boolean;
  send(frame: FrameFromAgent): void;
  close(code: number, reason: string): void;
}

/** One connection, from handshake to close. `onSocketEnd` is called exactly once. */
function openSocket(
  deps: ConnectionDeps,
  target: { url: string; headers: Record<string, string> },
  callbacks: { backoff: { reset(): void }; onSocketEnd: (end: SocketEnd) => void },
): Socket {
  const ws = new WebSocket(target.url, [SUBPROTOCOL], {
    headers: target.headers,
    handshakeTimeout: HANDSHAKE_WITHIN_MS,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
  });
  let state: "opening" | "open" | "welcome" | "ended" = "opening";
  let lastError = "closed without a reason";
  let cancelPing = (): void => {};
  let cancelStableTimer = (): void => {};
  let cancelSilenceTimer = (): void => {};

  const end = (code: number, reason: string): void => {
    if (state === "ended") return;
    const wasOpen = state !== "opening";
    cancelPing();
    cancelStableTimer();
    cancelSilenceTimer();
    callbacks.onSocketEnd({ code, reason, wasOpen });
    state = "ended";
  };
  // A peer that is gone never answers a close: report the end at once, and terminate the socket a little later.
  const close = (code: number, reason: string): void => {
    ws.close(code, reason);
    const cancelTerminate = deps.timers.after(TERMINATE_AFTER_MS, () => ws.terminate());
    ws.once("close", cancelTerminate);
    end(code, reason);
  };
  const resetSilenceTimer = (): void => {
    // No timer after the end: nobody would cancel it.
    if (state === "ended") return;
    cancelSilenceTimer();
    cancelSilenceTimer = deps.timers.after(SILENT_AFTER_MS, () => close(CLOSE.silent.code, CLOSE.silent.reason));
  };
  const ping = (): void => {
    ws.send(PING_TEXT);
    cancelPing = deps.timers.after(PING_EVERY_MS, ping);
  };
  const send = (frame: FrameFromAgent): void => {
    if (ws.readyState === WebSocket.OPEN) ws.send(JSON.stringify(frame));
  };
  let waiting = 0;
  let answering = Promise.resolve();
  const answer = (id: Id, user: string): void => {
    // Nobody waits for the answers to so many.
    if (waiting >= MOST_QUESTIONS) return;
    waiting++;
    answering = answering
      .then(async () => send({ type: "answer", id, exists: await deps.onAsk(user) }))
      // Not known is no answer.
      .catch(() => undefined)
      .finally(() => waiting--);
  };
  const receive = (frame: FrameFromControl): void => {
    switch (frame.type) {
      case "ping":
        return ws.send(PONG_TEXT);
      case "pong":
        return;
      case "poke":
        return deps.onPoke(frame.pull);
      case "ask":
        return answer(frame.id, frame.user);
      case "welcome":
        if (frame.protocol !== PROTOCOL) return close(CLOSE.protocol.code, CLOSE.protocol.reason);
        if (state !== "open") return;
        state = "welcome";
        cancelStableTimer = deps.timers.after(STABLE_AFTER_MS, () => callbacks.backoff.reset());
        return deps.onOnline();
    }
  };

  resetSilenceTimer();
  ws.on("open", () => {
    if (state !== "opening") return;
    state = "open";
    resetSilenceTimer();
    send({ type: "hello", protocol: PROTOCOL, agentVersion: deps.agentVersion });
    cancelPing = deps.timers.after(PING_EVERY_MS, ping);
  });
  ws.on("message", (data: RawData, isBinary: boolean) => {
    if (state === "ended") return;
    resetSilenceTimer();
    const frame = isBinary ? null : decode(FrameFromControl, textOf(data));
    if (frame === null) return close(CLOSE.badFrame.code, CLOSE.badFrame.reason);
    receive(frame);
  });
  ws.on("ping", resetSilenceTimer);
  ws.on("error", (error: Error) => {
    lastError = error.message;
  });
  ws.on("close", (code: number, reason: Buffer) => end(code, reason.toString() || lastError));
  return { isReady: () => state === "welcome", send, close };
}

function textOf(data: RawData): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString("utf8");
  return data instanceof ArrayBuffer ? Buffer.from(data).toString("utf8") : data.toString("utf8");
}
