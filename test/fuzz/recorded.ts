import * as z from "zod";
import type { App } from "../../control/app.ts";

/** One request that went well. */
export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

/** What was sent to the app and went well, and what it answered: the newest of it, also of what a fuzzer came upon. */
export interface Traffic {
  readonly requests: RecordedRequest[];
  /** Every value, by the key it stood under. */
  readonly seen: Map<string, unknown[]>;
  /** Ids, by the collection they are of: `hosts`. */
  readonly ids: Map<string, string[]>;
}

const MOST_VALUES = 60;
const MOST_REQUESTS = 600;
/** Entries of the catalogue have names for ids. */
const Listed = z.object({
  items: z.array(z.object({ id: z.string().nullish(), name: z.string().nullish() })).default([]),
});

/** Listens to what is asked of an app in-process. */
export function record(app: App): Traffic {
  const requests: RecordedRequest[] = [];
  const seen = new Map<string, unknown[]>();
  const ids = new Map<string, string[]>();
  const { request } = app;
  app.request = async (input, init, ...more) => {
    const answer = await request(input, init, ...more);
    if (typeof input !== "string" || !answer.ok || init?.method === "HEAD") return answer;
    const body: unknown = typeof init?.body === "string" && init.body !== "" ? JSON.parse(init.body) : undefined;
    const path = input.split("?")[0] ?? input;
    if (requests.length < MOST_REQUESTS) requests.push({ method: init?.method ?? "GET", path, body });
    keep(seen, body);
    if (answer.headers.get("content-type")?.includes("json") !== true || path.endsWith("/openapi.json")) return answer;
    const said: unknown = await answer.clone().json();
    keep(seen, said);
    const noun = /^\/api\/v1\/([a-z]+)$/.exec(path)?.[1];
    const listed = noun !== undefined && init?.method === "GET" ? idsIn(said) : [];
    if (noun !== undefined && listed.length > 0) ids.set(noun, listed);
    return answer;
  };
  return { requests, seen, ids };
}

function keep(seen: Map<string, unknown[]>, value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    if (!Array.isArray(value)) {
      const values = seen.get(key) ?? [];
      if (values.length < MOST_VALUES && !values.includes(inner)) values.push(inner);
      seen.set(key, values);
    }
    keep(seen, inner);
  }
}

function idsIn(listed: unknown): string[] {
  const { items } = Listed.parse(listed);
  return items.map(({ id, name }) => id ?? name ?? "");
}
