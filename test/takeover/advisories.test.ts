import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { sql } from "drizzle-orm";
import * as z from "zod";
import { page, TokenCreated } from "../../shared/api.ts";
import { ChannelCreated } from "../../shared/channel.ts";
import { Delivery } from "../../shared/event.ts";
import { EnrollmentCreated, Host } from "../../shared/host.ts";
import { agentIn } from "../support/agent.ts";
import { openClient } from "../support/client.ts";
import { testControl, type TestControl } from "../support/control.ts";
import { controlForThisFile } from "../support/control-under-test.ts";
import { enrolFakeHost } from "../support/fake-host.ts";
import { startNodeControl } from "../support/node-control.ts";
import { until } from "../support/until.ts";

// What went wrong in programs of our kind, each played here once. docs/security-advisories.md has the whole list, with
// the tests of those that are played elsewhere.

const control = controlForThisFile(startNodeControl);
const admin = openClient(
  () => control().url,
  () => control().adminToken,
);

test.each([
  "/install../control.db",
  "/install/../../signing.key",
  "/install/..%2f..%2fsigning.key",
  "/install/%2e%2e/%2e%2e/signing.key",
  "/install//etc/passwd",
  "/install/SHA256SUMS/../../../package.json",
  "/install.sh/../signing.key",
  "/healthz/../api/v1/hosts",
  "//install/../api/v1/tokens",
])("a path that leaves a public folder (%s) reads nothing", async (path) => {
  const { status, body } = await raw("GET", path, {});
  expect([401, 404]).toContain(status);
  expect(body).toMatch(/"code":"(auth\.required|route\.not_found)"/);
});

test("a forged Host header changes no address that anybody is given", async () => {
  const headers = { host: "evil.example", "x-forwarded-host": "evil.example", authorization: bearer() };
  const { body } = await raw("POST", "/api/v1/enrollments", { ...headers, "content-type": "application/json" }, "{}");
  const { command } = EnrollmentCreated.parse(JSON.parse(body));
  expect(command).toContain(control().url);
  for (const path of ["/install.sh", "/api/v1/openapi.json"]) {
    expect((await raw("GET", path, headers)).body).not.toContain("evil.example");
  }
});

test("a page that somebody is looking at can't act for them: no cookie counts, and no form is taken", async () => {
  const cookie = { cookie: `token=${control().adminToken}; session=${control().adminToken}` };
  expect(await raw("GET", "/api/v1/hosts", cookie)).toMatchObject({ status: 401 });
  expect(await raw("GET", `/api/v1/hosts?token=${control().adminToken}`, {})).toMatchObject({ status: 401 });
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]) {
    const sent = { authorization: bearer(), "content-type": type, origin: "https://evil.example" };
    const answer = await raw("POST", "/api/v1/enrollments", sent, "{}");
    expect(answer).toMatchObject({
      status: 400,
      headers: expect.not.objectContaining({ "set-cookie": expect.anything() }),
    });
  }
  const preflight = { origin: "https://evil.example", "access-control-request-method": "POST" };
  const { headers } = await raw("OPTIONS", "/api/v1/enrollments", preflight);
  expect(headers["access-control-allow-origin"]).toBeUndefined();
});

test("a GET changes nothing: not one row of the database, whatever the route", async () => {
  const held = await testControl();
  await held.enrol("read");
  const paths = held.app.routes
    .filter(({ method, path }) => method === "GET" && path.startsWith("/api/v1/"))
    .map(({ path }) => path.replaceAll(":id", "01936f0e-0000-7000-8000-000000000000"));
  const before = await everythingIn(held);
  for (const path of new Set(paths)) await held.admin.send("GET", path);
  expect(paths.length).toBeGreaterThan(25);
  expect(await everythingIn(held)).toEqual(before);
});

test("what a notification's receiver answers is shown to nobody, and a redirect is not followed", async () => {
  const inside = "answer of a machine inside the network";
  const asked: string[] = [];
  const server = createServer((incoming, outgoing) => {
    asked.push(incoming.url ?? "");
    if (incoming.url === "/moved") return outgoing.writeHead(307, { location: "/secret" }).end(inside);
    return outgoing.writeHead(500, { "x-inside": inside }).end(inside);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  for (const path of ["plain", "moved"]) {
    const url = `http://127.0.0.1:${port}/${path}`;
    const channel = await admin.ask(ChannelCreated, "POST", "/api/v1/channels", { name: path, kind: "webhook", url });
    const tested = await admin.send("POST", `/api/v1/channels/${channel.id}/test`);
    const tried = await until(`the try of ${path}`, async () => {
      const { items } = await admin.ask(page(Delivery), "GET", `/api/v1/deliveries?channel=${channel.id}`);
      return items[0] !== undefined && items[0].attempts > 0 ? items[0] : null;
    });
    expect(JSON.stringify([tested.body, tried])).not.toContain(inside);
    await admin.send("DELETE", `/api/v1/channels/${channel.id}`);
  }
  expect(asked).not.toContain("/secret");
  expect(control().output()).not.toContain(inside);
});

test("tokens stand in no log and in no answer but the first", async () => {
  const { token } = await admin.ask(TokenCreated, "POST", "/api/v1/tokens", { name: "logged", scope: "read" });
  const { token: enrolment } = await admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", {});
  await raw("GET", "/api/v1/nothing", { authorization: `Bearer ${token}` });
  await raw("POST", "/agent/v1/enroll", { "content-type": "application/json" }, JSON.stringify({ token: enrolment }));
  await raw(
    "POST",
    "/api/v1/tokens",
    { authorization: bearer(), "content-type": "application/json" },
    `{"x":"${token}"}`,
  );
  const told = [control().output()];
  for (const list of ["tokens", "enrollments", "audit", "hosts"]) {
    told.push(JSON.stringify((await admin.send("GET", `/api/v1/${list}?limit=500`)).body));
  }
  for (const secret of [token, enrolment.split(".")[1] ?? "", control().adminToken]) {
    expect(told.filter((text) => text.includes(secret))).toEqual([]);
  }
});

test("a deleted token is refused by the very next request", async () => {
  const made = await admin.ask(TokenCreated, "POST", "/api/v1/tokens", { name: "gone", scope: "admin" });
  const its = openClient(control().url, () => made.token);
  expect(await its.send("GET", "/api/v1/hosts")).toMatchObject({ status: 200 });
  expect(await admin.send("DELETE", `/api/v1/tokens/${made.id}`)).toMatchObject({ status: 204 });
  expect(await its.send("GET", "/api/v1/hosts")).toMatchObject({ status: 401 });
});

test("a host's key opens no route of people, a person's token none of hosts, and no key another host's", async () => {
  const [one, two] = [await enrolFakeHost(control(), "adv-one"), await enrolFakeHost(control(), "adv-two")];
  for (const path of ["/api/v1/hosts", "/api/v1/audit", "/api/v1/enrollments"]) {
    expect(await one.client.send("GET", path)).toMatchObject({ status: 401 });
  }
  for (const path of ["assignment", "orders", "socket", "deliveries"]) {
    expect(await admin.send("GET", `/agent/v1/${path}`)).toMatchObject({ status: 401 });
  }
  const forged = openClient(control().url, () => one.token({ subject: two.id }));
  expect(await forged.send("GET", "/agent/v1/assignment")).toMatchObject({ status: 401 });
});

test("an agent listens on nothing: there is no port to be the first at", async () => {
  const root = await mkdtemp(join(tmpdir(), "holdfast-listens-"));
  const agent = agentIn(root);
  onTestFinished(async () => {
    await agent.kill("SIGTERM");
    await rm(root, { recursive: true, force: true });
  });
  const { token } = await admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "listens" });
  expect(await agent.cli("enroll", "--url", control().url, "--token", token)).toMatchObject({ code: 0 });
  agent.start();
  await until("the agent to be online", async () => {
    const { items } = await admin.ask(page(Host), "GET", "/api/v1/hosts?name=listens");
    return items[0]?.online === true;
  });
  const pid = agent.pid() ?? 0;
  const open = new Set(readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`)));
  expect([...open].some((link) => link.startsWith("socket:"))).toBe(true);
  expect(listeners(pid).filter((inode) => open.has(`socket:[${inode}]`))).toEqual([]);
});

async function everythingIn({ deps: { db } }: TestControl): Promise<Record<string, unknown>> {
  const Names = z.array(z.object({ name: z.string() }));
  const names = Names.parse(await db.all(sql`select name from sqlite_master where type = 'table' order by name`));
  const tables = names.map(
    async ({ name }) => [name, await db.all(sql`select * from ${sql.identifier(name)}`)] as const,
  );
  return Object.fromEntries(await Promise.all(tables));
}

const bearer = (): string => `Bearer ${control().adminToken}`;

/** fetch() tidies paths and headers before it sends them; this sends them as they are. */
function raw(
  method: string,
  path: string,
  headers: Record<string, string>,
  body = "",
): Promise<{ status: number; headers: Record<string, unknown>; body: string }> {
  const { hostname, port } = new URL(control().url);
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port, method, path, headers }, (answer) => {
      let text = "";
      answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text }));
    });
    sent.once("error", reject);
    sent.end(body === "" ? undefined : body);
  });
}

/** Inodes of the TCP sockets in that process's network that wait for connections, and of UDP sockets. */
function listeners(pid: number): string[] {
  return ["tcp", "tcp6", "udp", "udp6"].flatMap((kind) =>
    readFileSync(`/proc/${pid}/net/${kind}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((columns) => columns[3] === (kind.startsWith("tcp") ? "0A" : "07"))
      .flatMap((columns) => columns[9] ?? []),
  );
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
