import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { openScene, type Scene } from "../fuzz/scene.ts";
import { requestTo, type Route, routesOf } from "../fuzz/requests.ts";
import { diceOf } from "../support/random.ts";

// Who has a `read` or an `operate` token has that scope and nothing beyond, whatever he sends to whichever route.

/** What an `operate` token may start, besides reading: docs/security.md says the same. */
const STARTS =
  /^POST \/api\/v1\/(?:bindings\/[^/]+\/(?:run|forget|check|pause|resume)|repositories\/[^/]+\/(?:check|prune)|runs\/[^/]+\/cancel|restores|channels\/[^/]+\/test|deliveries\/[^/]+\/retry|incidents\/[^/]+\/acknowledge)$/;
const PUBLIC =
  /^(?:GET|HEAD) \/(?:healthz|install\.sh|install\/[^/]+|api\/v1\/openapi\.json)$|^POST \/agent\/v1\/enroll$/;
/** Requests to each route. */
const TIMES = 6;

let scene: Scene;
beforeAll(async () => {
  scene = await openScene();
});
afterAll(() => scene.end());

type Rows = Record<string, string[]>;

/** Every row of every table but what says that somebody asked: the audit, vitals, when a token was last used. */
async function stored(): Promise<Rows> {
  const all = (text: string) => scene.control.deps.db.all<Record<string, unknown>>(sql.raw(text));
  const tables = await all(
    "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' and name not in ('audit', 'vitals')",
  );
  const found: Rows = {};
  for (const { name } of tables) {
    // The mark of the audit's newest entry changes with each request too.
    const rows = await all(`select * from "${String(name)}"${name === "marks" ? " where name <> 'audit'" : ""}`);
    found[String(name)] = rows.map((row) =>
      JSON.stringify(Object.fromEntries(Object.entries(row).filter(([column]) => !/^last_?used/i.test(column)))),
    );
  }
  return found;
}

/** Asks every route some times, with the ids that are there and with bodies that are good, odd and hostile. */
async function tryAll(
  token: string,
  onAnswer: (route: string, status: number, text: string) => void,
): Promise<Route[]> {
  const { routes, material } = await routesOf(scene);
  for (const [index, route] of routes.entries()) {
    // Nobody's token counts there.
    if (route.path === "/agent/v1/enroll") continue;
    for (let time = 0; time < TIMES; time++) {
      const { method, path, headers, body } = requestTo(diceOf(index * 1000 + time), route, material);
      const answer = await scene.control.app.request(path, {
        method,
        headers: { ...headers, authorization: `Bearer ${token}` },
        ...(body === null || method === "GET" || method === "HEAD" ? {} : { body }),
      });
      const name = new URL(path, "http://control.test").pathname;
      onAnswer(`${method} ${name}`, answer.status, await answer.text());
    }
  }
  return routes;
}

/** What was ever put into a secret field of a channel, and every token. */
function secrets(): string[] {
  const fields = /^(?:password|token|secret|appToken|userKey|webhookUrl)$/;
  const found: string[] = Object.values(scene.tokens);
  for (const { path, body } of scene.traffic.requests) {
    if (!path.startsWith("/api/v1/channels")) continue;
    const walk = (value: unknown): void => {
      if (typeof value !== "object" || value === null) return;
      for (const [key, inner] of Object.entries(value)) {
        if (typeof inner === "string" && fields.test(key) && inner.length > 5) found.push(inner);
        walk(inner);
      }
    };
    walk(body);
  }
  return found;
}

describe("a read token", () => {
  it("changes nothing, and is shown no secret and no audit", async () => {
    const before = await stored();
    const faults: string[] = [];
    const routes = await tryAll(scene.tokens.read, (route, status, text) => {
      const isRead = /^(?:GET|HEAD) \/api\//.test(route) && !/^(?:GET|HEAD) \/api\/v1\/audit$/.test(route);
      if (PUBLIC.test(route)) return;
      if (!isRead && status < 400) faults.push(`${route}: ${status}`);
      if (status >= 500) faults.push(`${route}: ${status}`);
      for (const secret of secrets()) if (text.includes(secret)) faults.push(`${route} shows ${secret}`);
    });
    expect(routes.length).toBeGreaterThan(60);
    expect(faults).toEqual([]);
    expect(await stored()).toEqual(before);
  });
});

describe("an operate token", () => {
  it("starts runs, acknowledges and pauses; it changes no right, no place and no contract", async () => {
    const before = await stored();
    const faults: string[] = [];
    const started = new Set<string>();
    await tryAll(scene.tokens.operate, (route, status, text) => {
      if (PUBLIC.test(route)) return;
      const isRead = /^(?:GET|HEAD) \/api\//.test(route) && !/^(?:GET|HEAD) \/api\/v1\/audit$/.test(route);
      if (!isRead && !STARTS.test(route) && status < 400) faults.push(`${route}: ${status}`);
      if (STARTS.test(route) && status < 300) started.add(route.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, ":id"));
      if (status >= 500) faults.push(`${route}: ${status}`);
      for (const secret of secrets()) if (text.includes(secret)) faults.push(`${route} shows ${secret}`);
    });
    expect(faults).toEqual([]);
    // It was let far enough for that to mean something.
    expect(started.size).toBeGreaterThan(4);
    const after = await stored();
    const mayChange = /^(?:orders|runs|run_days|deliveries|incidents|bindings|hosts)$/;
    for (const [table, rows] of Object.entries(before)) {
      if (!mayChange.test(table)) expect([table, after[table]]).toEqual([table, rows]);
    }
    const kept = (rows: string[] | undefined, columns: readonly string[]) =>
      (rows ?? []).map((row) => {
        const values = z.record(z.string(), z.unknown()).parse(JSON.parse(row));
        return columns.map((column) => values[column]);
      });
    const ofBinding = ["id", "name", "host", "contract", "repository", "settings", "labels", "declared"];
    expect(kept(after["bindings"], ofBinding)).toEqual(kept(before["bindings"], ofBinding));
    const ofHost = ["id", "name", "public_key", "publicKey", "audience", "facts", "labels", "revoked_at", "revokedAt"];
    expect(kept(after["hosts"], ofHost)).toEqual(kept(before["hosts"], ofHost));
    // An order of its says neither where files go nor whose they are.
    const known = new Set(before["orders"]);
    for (const order of (after["orders"] ?? []).filter((row) => !known.has(row))) {
      const { restore, from } = z
        .object({ restore: z.string().nullish(), from: z.string().nullish() })
        .parse(JSON.parse(order));
      expect(from ?? null).toBeNull();
      const target =
        restore === null || restore === undefined ? null : (JSON.parse(restore) as { target?: unknown }).target;
      expect(target ?? null).toBeNull();
    }
  });
});
