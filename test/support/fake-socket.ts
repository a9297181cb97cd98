import { WebSocket } from "ws";
import { decode, FrameFromControl, SUBPROTOCOL } from "../../shared/protocol.ts";

/** The agent's end of a socket, in a test's hands. */
export interface FakeSocket {
  readonly subprotocol: string;
  send(frame: unknown): void;
  sendText(text: string): void;
  /** The next frame that has not been taken yet, in order. */
  next(): Promise<FrameFromControl>;
  /** Resolves when the socket is closed, by whomever. */
  readonly closed: Promise<{ code: number; reason: string }>;
  /** Begins the closing handshake without waiting for it. */
  close(code?: number): void;
  /** Breaks the connection off without a word. */
  cut(): void;
}

/** The answer to an upgrade that was refused. */
export class UpgradeRefused extends Error {
  override readonly name = "UpgradeRefused";
  readonly status: number;
  constructor(status: number) {
    super(`the socket was refused with ${status}`);
    this.status = status;
  }
}

const FRAME_WITHIN_MS = 10_000;

/** @throws UpgradeRefused with the HTTP status when the control plane does not upgrade */
export async function openFakeSocket(
  url: string,
  token: string | null,
  protocols = [SUBPROTOCOL],
  headers: Record<string, string> = {},
): Promise<FakeSocket> {
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}/agent/v1/socket`, protocols, {
    headers: { ...headers, ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
    perMessageDeflate: false,
  });
  const frames: string[] = [];
  const waiting: ((text: string) => void)[] = [];
  socket.on("message", (data: Buffer) => {
    const text = data.toString("utf8");
    const waiter = waiting.shift();
    if (waiter === undefined) frames.push(text);
    else waiter(text);
  });
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.once("close", (code, reason) => resolve({ code, reason: reason.toString("utf8") }));
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("unexpected-response", (request, response) => {
      request.destroy();
      reject(new UpgradeRefused(response.statusCode ?? 0));
    });
    socket.once("error", reject);
  });
  return {
    subprotocol: socket.protocol,
    send: (frame) => socket.send(JSON.stringify(frame)),
    sendText: (text) => socket.send(text),
    next: async () => {
      const text = frames.shift() ?? (await nextText(waiting));
      const frame = decode(FrameFromControl, text);
      if (frame === null) throw new Error(`not a frame of the control plane: ${text}`);
      return frame;
    },
    closed,
    close: (code) => socket.close(code),
    cut: () => socket.terminate(),
  };
}

function nextText(waiting: ((text: string) => void)[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      waiting.splice(waiting.indexOf(take), 1);
      reject(new Error(`no frame came within ${FRAME_WITHIN_MS} ms`));
    }, FRAME_WITHIN_MS);
    const take = (text: string): void => {
      clearTimeout(timer);
      resolve(text);
    };
    waiting.push(take);
  });
}
