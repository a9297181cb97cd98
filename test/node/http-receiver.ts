import { createServer, type IncomingHttpHeaders, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export interface HttpReceiver {
  readonly url: string;
  readonly requests: { method: string; headers: IncomingHttpHeaders; body: string; path: string }[];
  /** What it answers from now on. */
  answer(status: number, headers?: Record<string, string>, body?: string): void;
}

/** A receiver that answers what the test says. */
export async function httpReceiver(): Promise<HttpReceiver> {
  let status = 204;
  let extra: Record<string, string> = {};
  let said = "";
  const requests: HttpReceiver["requests"] = [];
  const url = await listen((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      requests.push({
        method: request.method ?? "",
        headers: request.headers,
        body: Buffer.concat(chunks).toString("utf8"),
        path: request.url ?? "",
      });
      response.writeHead(status, extra).end(said);
    });
  });
  return {
    url: `${url}/hook`,
    requests,
    answer: (next, headers = {}, body = "") => {
      status = next;
      extra = headers;
      said = body;
    },
  };
}

/** @returns the origin of a server on loopback that ends with the test */
export async function listen(handle: RequestListener, host = "127.0.0.1"): Promise<string> {
  const server = createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const { port } = server.address() as AddressInfo;
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
}
