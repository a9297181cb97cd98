import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

type Side = "from agent" | "to agent";

/** A plain wire to a server on loopback that keeps every byte of both directions. */
export interface Recorder {
  readonly url: string;
  /** What passed in that direction, connection by connection. */
  bytes(side: Side): Buffer;
  end(): Promise<void>;
}

export async function startRecorder(port: number): Promise<Recorder> {
  const kept: { side: Side; chunks: Buffer[] }[] = [];
  const sockets = new Set<Socket>();
  const carry = (side: Side, from: Socket, to: Socket): void => {
    const chunks: Buffer[] = [];
    kept.push({ side, chunks });
    sockets.add(from);
    from.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      to.write(chunk);
    });
    from.on("end", () => to.end());
    from.on("error", () => to.destroy());
    from.on("close", () => sockets.delete(from));
  };
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    carry("from agent", near, far);
    carry("to agent", far, near);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bytes: (side) => Buffer.concat(kept.filter((one) => one.side === side).flatMap(({ chunks }) => chunks)),
    async end() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}
