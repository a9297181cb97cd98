import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Event } from "../../shared/event.ts";
import type { Id } from "../../shared/ids.ts";

/** A webhook receiver that records the delivery ids per event and run. */
export interface Webhooks {
  readonly url: string;
  /** @returns the different webhook-ids of the run's event; false: none yet */
  of(type: Event["type"], run: Id): string[] | false;
  end(): Promise<void>;
}

export async function listenForWebhooks(): Promise<Webhooks> {
  const received = new Map<string, Set<string>>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { type, data } = Event.parse(JSON.parse(Buffer.concat(chunks).toString("utf8")));
      const key = `${type} ${runIn(data)}`;
      received.set(key, (received.get(key) ?? new Set()).add(String(request.headers["webhook-id"])));
      response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook`,
    of(type, run) {
      const ids = received.get(`${type} ${run}`);
      return ids === undefined ? false : [...ids];
    },
    end: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function runIn(data: Record<string, unknown>): string {
  const { run } = data;
  return typeof run === "object" && run !== null && "id" in run ? String(run.id) : "";
}
