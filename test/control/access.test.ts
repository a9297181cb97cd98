import { authenticateAgent } from "../../control/auth/agent.ts";
import { expect, test } from "vitest";
import { page, Token, TokenCreated } from "../../shared/api.ts";
import { DeclarationsResult } from "../../shared/declaration.ts";
import { Host } from "../../shared/host.ts";
import { Run, RunWithLog } from "../../shared/run.ts";
import { askerOf, FACTS, testControl, type TestControl } from "../support/control.ts";
import { declare } from "./declared.ts";
import { reportOf } from "./reported.ts";

/** The only routes that answer without a credential. */
const PUBLIC = new Set(["GET /healthz", "GET /api/v1/openapi.json", "GET /install.sh", "POST /agent/v1/enroll"]);
const OPERATE =
  /^POST \/api\/v1\/(bindings\/:id\/(run|forget|check|pause|resume)|repositories\/:id\/(check|prune)|runs\/:id\/cancel|restores|channels\/:id\/test|deliveries\/:id\/retry|incidents\/:id\/acknowledge)$/;
const NOBODY = "01936f0e-0000-7000-8000-000000000000";

/** Every route of the app, as `METHOD /path/:id`. */
function routesOf({ app }: TestControl): string[] {
  const routes = app.routes.filter((route) => route.method !== "ALL").map((route) => `${route.method} ${route.path}`);
  return [...new Set(routes)];
}

function asked(route: string): [method: string, path: string] {
  const [method = "", path = ""] = route.split(" ");
  return [method, path.replaceAll(":id", NOBODY)];
}

test("every route except the public list rejects a request with a missing or wrong credential", async () => {
  const control = await testControl();
  const routes = routesOf(control);
  expect(routes.length).toBeGreaterThan(50);
  for (const bearer of [null, () => "hft_wrong", () => "a.b.c"]) {
    const asker = askerOf(control.app, bearer);
    for (const route of routes.filter((each) => !PUBLIC.has(each))) {
      const { status, code } = await asker.refused(...asked(route));
      expect({ route, status, code }).toEqual({ route, status: 401, code: "auth.required" });
    }
  }
  expect(await askerOf(control.app, null).send("GET", "/healthz")).toMatchObject({
    status: 200,
    body: { status: "ok" },
  });
});

test("a route that does not exist needs authentication like one that does", async () => {
  const control = await testControl();
  const nobody = askerOf(control.app, null);
  expect(await nobody.refused("GET", "/api/v1/nothing")).toMatchObject({ status: 401 });
  expect(await nobody.refused("GET", "/admin")).toMatchObject({ status: 401 });
  expect(await control.admin.refused("GET", "/api/v1/nothing")).toMatchObject({ status: 404, code: "route.not_found" });
});

test("every route needs its scope: read for GET, operate for runs, admin for changes and the audit", async () => {
  const control = await testControl();
  const routes = routesOf(control).filter((route) => route.includes("/api/v1/") && !PUBLIC.has(route));
  const reader = await control.withScope("read");
  const operator = await control.withScope("operate");
  const tooSmall = { status: 403, code: "auth.scope_too_small" };
  for (const route of routes) {
    const isAudit = route.startsWith("GET /api/v1/audit") || route === "GET /api/v1/recovery/escrows";
    const needs = isAudit ? "admin" : route.startsWith("GET ") ? "read" : OPERATE.test(route) ? "operate" : "admin";
    const forReader = await reader.send(...asked(route));
    const forOperator = await operator.send(...asked(route));
    expect({ route, refused: forReader.status === 403 }).toEqual({ route, refused: needs !== "read" });
    expect({ route, refused: forOperator.status === 403 }).toEqual({ route, refused: needs === "admin" });
    if (needs === "admin") expect(await operator.refused(...asked(route))).toMatchObject(tooSmall);
  }
});

test("to restore to a directory, or on another host, is an admin's: it says where files are written", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  await control.enrol("two");
  await declare(control, host, "photos");
  const operator = await control.withScope("operate");
  const asked = (more: object) =>
    operator.refused("POST", "/api/v1/restores", { binding: "photos", snapshot: "latest", ...more });
  const tooSmall = { status: 403, code: "auth.scope_too_small" };
  expect(await asked({ target: "/etc/holdfast/hooks.d" })).toMatchObject(tooSmall);
  expect(await asked({ host: "two" })).toMatchObject(tooSmall);
  const back = { binding: "photos", snapshot: "latest" };
  expect(await operator.send("POST", "/api/v1/restores", back)).toMatchObject({ status: 202 });
});

test("an expired or revoked token is rejected; its last use is recorded to the minute", async () => {
  const control = await testControl();
  const make = (body: object) => control.admin.ask(TokenCreated, "POST", "/api/v1/tokens", body);
  const short = await make({ name: "short", scope: "read", expiresInSeconds: 60 });
  const long = await make({ name: "long", scope: "read" });
  const read = (token: string) => askerOf(control.app, () => token).send("GET", "/api/v1/hosts");
  const lastUsedAt = async () => (await control.admin.ask(Token, "GET", `/api/v1/tokens/${long.id}`)).lastUsedAt;

  expect(await lastUsedAt()).toBeNull();
  expect([(await read(short.token)).status, (await read(long.token)).status]).toEqual([200, 200]);
  control.pass(59_000);
  await read(long.token);
  expect(await lastUsedAt()).toBe("2026-11-23T08:00:00.000Z");
  control.pass(1_000);
  await read(long.token);
  expect(await lastUsedAt()).toBe("2026-11-23T08:01:00.000Z");
  expect((await read(short.token)).status).toBe(401);
  await control.admin.send("DELETE", `/api/v1/tokens/${long.id}`);
  expect((await read(long.token)).status).toBe(401);
  const { items } = await control.admin.ask(page(Token), "GET", "/api/v1/tokens?name=short");
  expect(JSON.stringify(items)).not.toContain(short.token);
});

test("a host's JWT is accepted only when every claim is valid", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const other = await control.enrol("other");
  const now = Math.floor(control.deps.clock.now() / 1000);
  const tried = async (jwt: Promise<string>) => askerOf(control.app, () => jwt).send("GET", "/agent/v1/orders");
  expect((await tried(host.jwt())).status).toBe(200);
  expect((await tried(host.jwt({ iat: now - 300 }))).status).toBe(200);
  const wrong = [
    { aud: "http://elsewhere" },
    { sub: other.id },
    { sub: NOBODY },
    { typ: "JWT" },
    { exp: now + 121 },
    { exp: now - 1 },
  ];
  for (const change of wrong) {
    expect({ change, ...(await tried(host.jwt(change))) }).toMatchObject({
      status: 401,
      body: { error: { code: "auth.required" } },
    });
  }
  for (const iat of [now - 301, now + 301]) {
    const { status, headers, body } = await tried(host.jwt({ iat }));
    expect({ status, body }).toMatchObject({ status: 401, body: { error: { code: "auth.clock_wrong" } } });
    expect(Date.parse(headers.get("date") ?? "")).toBe(control.deps.clock.now());
  }
});

test("a host's JWT opens no API route, and an API token no agent route", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  expect(await host.refused("GET", "/api/v1/hosts")).toMatchObject({ status: 401 });
  expect(await control.admin.refused("GET", "/agent/v1/orders")).toMatchObject({ status: 401 });
});

test("a revoked host loses its socket at once, and access to every agent route", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const revoked = await control.admin.ask(Host, "PATCH", `/api/v1/hosts/${host.id}`, { revoked: true });
  expect(revoked.revokedAt).toBe("2026-11-23T08:00:00.000Z");
  expect(control.hubCalls).toEqual([`disconnect ${host.id} revoked`]);
  const agentRoutes = routesOf(control).filter((route) => route.includes("/agent/v1/") && !PUBLIC.has(route));
  expect(agentRoutes.length).toBeGreaterThanOrEqual(5);
  for (const route of agentRoutes) {
    expect({ route, ...(await host.refused(...asked(route))) }).toMatchObject({
      route,
      status: 403,
      code: "auth.host_revoked",
    });
  }
});

test("with a second host's key, no agent route reads or writes anything of the first", async () => {
  const control = await testControl();
  const [first, second] = [await control.enrol("first"), await control.enrol("second")];
  const { binding } = await declare(control, first, "photos");
  const run = await control.admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
  const stored = async () => [
    (await control.admin.send("GET", `/api/v1/hosts/${first.id}`)).body,
    (await control.admin.send("GET", `/api/v1/bindings/${binding.id}`)).body,
    (await control.admin.send("GET", "/api/v1/runs")).body,
    (await control.admin.send("GET", "/api/v1/snapshots")).body,
    (await control.admin.send("GET", "/api/v1/repositories")).body,
    (await control.admin.send("GET", "/api/v1/contracts")).body,
  ];
  const before = await stored();
  const claimed = reportOf({ id: run.id, binding: binding.id, state: "succeeded", made: "a".repeat(64) });
  const invented = reportOf({ id: NOBODY, binding: binding.id, state: "failed" });
  const bodies: Record<string, unknown> = {
    "PUT /agent/v1/facts": { ...FACTS, hostname: "mine" },
    "PUT /agent/v1/detections": { detections: [] },
    "POST /agent/v1/reports": { reports: [claimed, invented] },
    "PUT /agent/v1/declarations": { declarations: [], faults: [] },
    "POST /agent/v1/deliveries": { outcomes: [{ id: NOBODY, lease: NOBODY, status: 200, error: null }] },
  };
  const routes = routesOf(control).filter((route) => route.includes("/agent/v1/") && !PUBLIC.has(route));
  expect(routes.toSorted()).toEqual([
    "GET /agent/v1/assignment",
    "GET /agent/v1/deliveries",
    "GET /agent/v1/orders",
    "GET /agent/v1/probes",
    "GET /agent/v1/socket",
    "POST /agent/v1/deliveries",
    "POST /agent/v1/reports",
    "PUT /agent/v1/declarations",
    "PUT /agent/v1/detections",
    "PUT /agent/v1/escrows",
    "PUT /agent/v1/facts",
    "PUT /agent/v1/key",
  ]);
  for (const route of routes) {
    const [method, path] = asked(route);
    const answer = await second.send(method, path, bodies[route]);
    const said = JSON.stringify([answer.body, decoded(answer.body)]);
    for (const secret of [binding.id, run.id, first.id, "photos"])
      expect({ route, said }).not.toMatchObject({ said: expect.stringContaining(secret) });
  }
  expect(await stored()).toEqual(before);
  expect(await first.send("GET", "/agent/v1/orders")).toMatchObject({ body: { orders: [expect.any(String)] } });
  expect(await control.admin.ask(RunWithLog, "GET", `/api/v1/runs/${run.id}`)).toMatchObject({
    state: "queued",
    log: "",
  });
});

test("a host can't take over another host's repository by declaring its name", async () => {
  const control = await testControl();
  const [first, second] = [await control.enrol("first"), await control.enrol("second")];
  const declared = (location: string, name: string) => ({
    faults: [],
    declarations: [
      {
        kind: "files",
        file: `${name}.json`,
        name,
        request: { user: "root", sourceDirectories: ["/srv"] },
        bound: {
          repository: { name: "nas", provider: "restic", location, passphrase: { file: "/etc/passphrase" } },
          settings: {},
        },
      },
    ],
  });
  const stored = async () => (await control.admin.send("GET", "/api/v1/repositories")).body;
  await first.ask(DeclarationsResult, "PUT", "/agent/v1/declarations", declared("/backup", "photos"));
  const before = await stored();
  const { faults } = await second.ask(
    DeclarationsResult,
    "PUT",
    "/agent/v1/declarations",
    declared("/elsewhere", "mine"),
  );
  const message = expect.stringContaining("has another repository");
  expect(faults).toMatchObject([{ message }]);
  expect(await stored()).toEqual(before);
});

/** What every JWS in an answer says. */
function decoded(body: unknown): string[] {
  const found = JSON.stringify(body).match(/[\w-]+\.[\w-]+\.[\w-]+/g) ?? [];
  return found.map((jws) => Buffer.from(jws.split(".")[1] ?? "", "base64url").toString());
}

test("a control plane with a new URL still accepts its hosts, each with the URL of its enrolment", async () => {
  const control = await testControl();
  const host = await control.enrol("early");
  const moved = { ...control.deps, config: { ...control.deps.config, url: "https://backup.example.org" } };
  const asked = (aud?: string) =>
    host
      .jwt(aud === undefined ? {} : { aud })
      .then((jwt) => authenticateAgent(moved, new Headers({ authorization: `Bearer ${jwt}` })));
  expect(await asked()).toMatchObject({ id: host.id });
  await expect(asked("https://backup.example.org")).rejects.toMatchObject({ code: "auth.required" });
});

test("no answer is guessed at or kept by a browser or a proxy, refusals included", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  for (const [asker, path, status] of [
    [control.admin, "/api/v1/hosts", 200],
    [control.admin, "/api/v1/nothing", 404],
    [host, "/agent/v1/orders", 200],
    [askerOf(control.app, null), "/api/v1/hosts", 401],
  ] as const) {
    const answer = await asker.send("GET", path);
    const { headers } = answer;
    expect([path, answer.status, headers.get("x-content-type-options"), headers.get("cache-control")]).toEqual([
      path,
      status,
      "nosniff",
      "no-store",
    ]);
  }
});
