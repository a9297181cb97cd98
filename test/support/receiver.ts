import { createServer } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { Event } from "../../shared/event.ts";
import { until } from "./until.ts";

/** A person's webhook endpoint: a real HTTP server that keeps what it was sent. */
export interface Receiver {
  readonly url: string;
  /** Waits for a notification of that type which nobody has taken yet, checks its signature, and takes it. */
  take(type: Event["type"], secret: string): Promise<Event>;
  /** How many of that type have come in all. */
  count(type: Event["type"]): number;
  stop(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const requests: { headers: IncomingHttpHeaders; body: string; event: Event; taken: boolean }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      requests.push({ headers: request.headers, body, event: Event.parse(JSON.parse(body)), taken: false });
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    async take(type, secret) {
      const request = await until(`a ${type} notification`, () =>
        requests.find((each) => !each.taken && each.event.type === type),
      );
      request.taken = true;
      new Webhook(secret).verify(request.body, {
        "webhook-id": String(request.headers["webhook-id"]),
        "webhook-timestamp": String(request.headers["webhook-timestamp"]),
        "webhook-signature": String(request.headers["webhook-signature"]),
      });
      return request.event;
    },
    count: (type) => requests.filter((each) => each.event.type === type).length,
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
