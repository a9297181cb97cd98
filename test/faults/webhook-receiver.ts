import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";

/** A slow webhook receiver that records the delivery ids per event and run. */
export interface WebhookReceiver {
  readonly url: string;
  /** By `TYPE RUN`: the different delivery ids of the event. */
  readonly ids: ReadonlyMap<string, ReadonlySet<string>>;
  stop(): Promise<void>;
}

const ANSWERS_WITHIN_MS = 40;

const Notification = z.object({ type: z.string(), data: z.object({ run: z.object({ id: z.string() }).nullish() }) });

/** The key of an event in `ids`. */
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
      // The delay gives time to kill the control plane between delivery and answer.
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
