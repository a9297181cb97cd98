import { sql } from "drizzle-orm";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { decodeJwt } from "jose";
import { expect, onTestFinished, test } from "vitest";
import { openApi } from "../../agent/link/api.ts";
import { loadOrCreateIdentity } from "../../agent/link/identity.ts";
import { usedJwts } from "../../control/db/schema/hosts.ts";
import { tick } from "../../control/tick.ts";
import { scratchRoot } from "../agent/scratch.ts";
import { configOf, makeSigner } from "../agent/signer.ts";
import { askerOf, DATABASES, testControl } from "../support/control.ts";

// Who reads a request on its way can't send it a second time.

test.each(DATABASES)("a host's JWT is accepted once, also when both come at once (%s)", async (database) => {
  const control = await testControl({ database });
  const host = await control.enrol("one");
  const jwt = await host.jwt();
  const seen = askerOf(control.app, () => jwt);
  const answers = await Promise.all(Array.from({ length: 5 }, () => seen.send("GET", "/agent/v1/orders")));
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 401, 401, 401, 401]);
  for (const path of ["/agent/v1/assignment", "/agent/v1/socket"]) {
    expect(await seen.refused("GET", path)).toMatchObject({ status: 401, code: "auth.jwt_used" });
  }
  expect((await host.send("GET", "/agent/v1/orders")).status).toBe(200);
});

test("the JWT of a socket's upgrade is used up too", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const jwt = await host.jwt();
  const seen = askerOf(control.app, () => jwt);
  expect((await seen.send("GET", "/agent/v1/socket")).status).toBe(200);
  expect(await seen.refused("GET", "/agent/v1/socket")).toMatchObject({ status: 401, code: "auth.jwt_used" });
});

test("used JWTs are forgotten when their age alone makes them invalid, and never before", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const now = Math.floor(control.deps.clock.now() / 1000);
  // As of a clock that is ahead by as much as is still accepted: this one is valid the longest.
  const jwt = await host.jwt({ iat: now + 300 });
  const seen = askerOf(control.app, () => jwt);
  expect((await seen.send("GET", "/agent/v1/orders")).status).toBe(200);
  const kept = async () => (await control.deps.db.select().from(usedJwts)).length;
  for (let second = 0; second < 600; second += 60) {
    control.pass(60_000);
    await tick(control.deps);
    expect(await seen.refused("GET", "/agent/v1/orders")).toMatchObject({ code: "auth.jwt_used" });
  }
  control.pass(2_000);
  await tick(control.deps);
  expect(await kept()).toBe(0);
  expect(await seen.refused("GET", "/agent/v1/orders")).toMatchObject({ code: "auth.clock_wrong" });
});

test("a JWT is found and forgotten by index", async () => {
  const control = await testControl();
  const plan = await control.deps.db.all<{ detail: string }>(
    sql`explain query plan delete from ${usedJwts} where rowid in
      (select rowid from ${usedJwts} where "expiresAt" < 'x' order by "expiresAt" limit 10)`,
  );
  const detail = plan.map((step) => step.detail).join("; ");
  expect(detail).toMatch(/SEARCH used_jwts USING COVERING INDEX used_jwts_expiry/);
  expect(detail).not.toMatch(/SCAN used_jwts|TEMP B-TREE/);
});

test("an agent makes a new JWT for every request, and for one that something in between sent twice", async () => {
  const used = new Set<string>();
  let answers = ["auth.jwt_used", "ok", "auth.jwt_used", "auth.jwt_used"];
  const server = createServer((request, response) => {
    used.add(String(decodeJwt(request.headers.authorization?.slice("Bearer ".length) ?? "").jti));
    const [code = "ok"] = answers.splice(0, 1);
    response.writeHead(code === "ok" ? 200 : 401, { "content-type": "application/json" });
    response.end(JSON.stringify(code === "ok" ? { orders: [] } : { error: { code, message: "no" } }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { paths } = await scratchRoot();
  const api = openApi({
    config: configOf(await makeSigner(), { url, audience: url }),
    identity: await loadOrCreateIdentity(paths),
    clock: Date,
    random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
  });
  expect(await api.getOrders()).toEqual({ orders: [] });
  expect(used.size).toBe(2);
  await expect(api.getOrders()).rejects.toMatchObject({ code: "auth.jwt_used" });
  expect(used.size).toBe(4);
  answers = [];
  const jtiOf = (headers: Record<string, string>) => decodeJwt(headers["authorization"]?.slice(7) ?? "").jti;
  expect(jtiOf((await api.socket()).headers)).not.toBe(jtiOf((await api.socket()).headers));
});
