import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

/** What passes between an agent and its control plane. */
export interface Passing {
  readonly method: string;
  readonly path: string;
  readonly asked: string;
  /** What the control plane answered; null while it has not been asked yet. */
  readonly answered: string | null;
}

/** A proxy in front of the control plane, where a test looks at what passes, and acts before it does. */
export interface Gateway {
  readonly url: string;
  /** Where what comes in goes. */
  leadTo(origin: string): void;
  /** Called before a request is passed on, and again before its answer is. */
  onPassing: (passing: Passing) => void;
  stop(): Promise<void>;
}

export async function openGateway(): Promise<Gateway> {
  let target = new URL("http://127.0.0.1:1");
  const sockets = new Set<Socket>();
  const server = createServer((incoming, outgoing) => {
    pass(gateway, target, { incoming, outgoing }).catch(() => outgoing.destroy());
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("upgrade", (incoming, socket: Socket, head) => {
    const behind = connect(Number(target.port), target.hostname);
    const end = (): void => void [socket.destroy(), behind.destroy()];
    for (const side of [socket, behind]) side.on("error", end).once("close", end);
    behind.once("connect", () => {
      behind.write(headOf(incoming));
      behind.write(head);
      socket.pipe(behind).pipe(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const gateway: Gateway = {
    url: `http://127.0.0.1:${port}`,
    leadTo: (origin) => void (target = new URL(origin)),
    onPassing: () => undefined,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
  return gateway;
}

async function pass(
  gateway: Gateway,
  target: URL,
  { incoming, outgoing }: { incoming: IncomingMessage; outgoing: ServerResponse },
): Promise<void> {
  const { method = "GET", url: path = "/", headers } = incoming;
  const asked = await bytesOf(incoming);
  const passing = { method, path, asked: asked.toString("utf8") };
  gateway.onPassing({ ...passing, answered: null });
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const { port, hostname } = target;
    request({ host: hostname, port, method, path, headers, agent: false }, resolve).on("error", reject).end(asked);
  });
  const body = await bytesOf(answer);
  gateway.onPassing({ ...passing, answered: body.toString("utf8") });
  const { "transfer-encoding": _chunked, connection: _kept, ...passedOn } = answer.headers;
  outgoing.writeHead(answer.statusCode ?? 502, passedOn).end(body);
}

async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function headOf({ method, url, rawHeaders }: IncomingMessage): string {
  const lines = rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${rawHeaders[at + 1] ?? ""}`] : []));
  return [`${method} ${url} HTTP/1.1`, ...lines, "", ""].join("\r\n");
}
