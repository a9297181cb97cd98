import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";

/** A webhook endpoint that takes its time, and remembers under which ids it was told of which run. */
export interface WebhookReceiver {
  readonly url: string;
  /** By `TYPE RUN`: the ids it came with, each once however often it came. */
  readonly ids: ReadonlyMap<string, ReadonlySet<string>>;
  stop(): Promise<void>;
}

const ANSWERS_WITHIN_MS = 40;

const Notification = z.object({ type: z.string(), data: z.object({ run: z.object({ id: z.string() }).nullish() }) });

/** What tells one event from another. */
export function eventOf(type: string, run: string): string {
  return `${type} ${run}`;
}

export async function startReceiver(): Promise<WebhookReceiver> {
  const ids = new Map<string, Set<string>>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { type, data } = Notification.parse(JSON.parse(Buffer.concat(chunks).toString("utf8")));
      const event = eventOf(type, data.run?.id ?? "");
      ids.set(event, (ids.get(event) ?? new Set()).add(String(request.headers["webhook-id"])));
      // Between what it has and what the control plane knows of it there is time to be killed in.
      void delay(Math.random() * ANSWERS_WITHIN_MS).then(() => response.writeHead(204).end());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    ids,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
