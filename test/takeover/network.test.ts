import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import * as z from "zod";
import type { AgentConfig } from "../../agent/config.ts";
import { openApi } from "../../agent/link/api.ts";
import { acceptAssignment } from "../../agent/link/assignments.ts";
import { loadOrCreateIdentity } from "../../agent/link/identity.ts";
import { acceptOrders } from "../../agent/link/orders.ts";
import { createRefuse } from "../../agent/link/refusals.ts";
import { openSpool } from "../../agent/state/spool.ts";
import type { Assignment } from "../../shared/assignment.ts";
import { EnrollmentCreated, Enrolment } from "../../shared/host.ts";
import { scratchRoot } from "../agent/scratch.ts";
import { declare } from "../control/declared.ts";
import { askerOf, FACTS, testControl, type TestControl, URL_OF_CONTROL } from "../support/control.ts";

// Who is in the network between changes answers as he likes: what is signed he can only withhold. The agent keeps what
// it has, and its token goes nowhere else.

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** What the one in between makes of an answer to a path; null: he answers himself. */
type Change = (path: string, answer: Answer) => Answer | "endless" | "cut";

/** An agent, a real control plane, and somebody in between who sees and changes everything. */
async function bench() {
  const control = await testControl();
  const { paths } = await scratchRoot();
  const identity = await loadOrCreateIdentity(paths);
  const { token } = await control.admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "nas" });
  const request = { token, publicKey: identity.publicKey, facts: FACTS };
  const { jws } = await askerOf(control.app, null).ask(
    z.object({ jws: z.string() }),
    "POST",
    "/agent/v1/enroll",
    request,
  );
  const { host, controlKey } = Enrolment.parse(payloadOf(jws));
  const between = await listenBetween(control);
  const config: AgentConfig = { url: between.url, host, name: "nas", audience: URL_OF_CONTROL, controlKey };
  const clock = { now: () => control.deps.clock.now() };
  const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
  const api = (url = between.url) => openApi({ config: { ...config, url }, identity, clock, random });
  const lines: string[] = [];
  const log = (line: string) => void lines.push(line);
  const refuse = createRefuse({ clock, random, log, spool: openSpool(paths) });
  let current: Assignment | null = null;
  return {
    control,
    between,
    api,
    host,
    lines,
    current: () => current,
    /** One pull, as the agent does it. */
    async pull() {
      const sent = await api().getAssignment(current?.revision ?? null);
      if (sent !== null)
        current = await acceptAssignment({ paths, config, clock, log, refuse }, { jws: sent, current });
      return current;
    },
    async orders() {
      const { orders: signed } = await api().getOrders();
      const deps = { paths, config, clock, refuse, isGranted: async () => true, isKnown: async () => false };
      return await acceptOrders(deps, signed);
    },
  };
}

function payloadOf(jws: string): unknown {
  return JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString());
}

async function listenBetween(control: TestControl) {
  let change: Change = (_path, answer) => answer;
  const seen: { path: string; authorization: string }[] = [];
  let sent = 0;
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    seen.push({ path, authorization: request.headers.authorization ?? "" });
    const headers = new Headers();
    for (const [name, value] of Object.entries(request.headers))
      if (typeof value === "string") headers.set(name, value);
    void Promise.resolve(control.app.request(path, { method: request.method ?? "GET", headers })).then(
      async (answer) => {
        const own = { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() };
        const changed = change(path, own);
        if (changed === "cut") {
          response.writeHead(own.status, { ...own.headers, "content-length": String(own.body.length) });
          response.write(own.body.slice(0, own.body.length / 2), () => response.destroy());
          return;
        }
        if (changed === "endless") {
          response.writeHead(200, { "content-type": "application/json" });
          const chunk = Buffer.alloc(1 << 20, " ");
          const more = (): void => {
            while (!response.destroyed) {
              sent += chunk.length;
              if (!response.write(chunk)) return void response.once("drain", more);
            }
          };
          return more();
        }
        response.writeHead(changed.status, changed.headers).end(changed.body);
      },
    );
  });
  const url = await listen(server);
  return {
    url,
    seen,
    sent: () => sent,
    does: (next: Change) => {
      change = next;
    },
  };
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const withJws = (answer: Answer, jws: string): Answer => ({
  ...answer,
  status: 200,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ jws }),
});

test("an assignment that was swapped, changed or kept from before takes no effect", async () => {
  const { control, between, pull, host, lines } = await bench();
  const own = { id: host };
  await declare(control, own, "photos");
  const answers: string[] = [];
  between.does((path, answer) => {
    if (path === "/agent/v1/assignment" && answer.status === 200) answers.push(answer.body);
    return answer;
  });
  const first = await pull();
  await declare(control, own, "letters");
  const second = await pull();
  expect(second?.contracts.map(({ name }) => name)).toEqual(["photos", "letters"]);
  expect(first?.revision).toBeLessThan(second?.revision ?? 0);

  const other = await control.enrol("other");
  await declare(control, other, "elsewhere");
  const theirs = await other.ask(z.object({ jws: z.string() }), "GET", "/agent/v1/assignment");
  const [old = ""] = answers;
  const [header = "", payload = "", signature = ""] = z
    .object({ jws: z.string() })
    .parse(JSON.parse(answers.at(-1) ?? ""))
    .jws.split(".");
  const changed = Buffer.from(
    JSON.stringify({ ...(payloadOf(`${header}.${payload}`) as object), revision: 2_000_000 }),
  );
  const forged: [string, string][] = [
    ["another host's", theirs.jws],
    ["an older one", z.object({ jws: z.string() }).parse(JSON.parse(old)).jws],
    ["a changed one", [header, changed.toString("base64url"), signature].join(".")],
    ["one without its signature", [header, payload, ""].join(".")],
    ["an order in its place", header],
  ];
  for (const [what, jws] of forged) {
    between.does((path, answer) => (path === "/agent/v1/assignment" ? withJws(answer, jws) : answer));
    expect([what, await pull()]).toEqual([what, second]);
  }
  expect(lines.filter((line) => line.includes("assignment")).length).toBeGreaterThan(3);
});

test("an answer that is cut off, is no JSON or never ends changes nothing, and fills no memory", async () => {
  const { control, between, pull, host } = await bench();
  await declare(control, { id: host }, "photos");
  const before = await pull();
  await declare(control, { id: host }, "letters");
  const page = { status: 200, headers: { "content-type": "text/html" }, body: "<html>please sign in</html>" };
  for (const change of ["cut", page, "endless"] as const) {
    between.does(() => change);
    await expect(pull()).rejects.toMatchObject({ kind: "offline" });
  }
  // What is read is bounded, and nearly all that was sent was read.
  expect(between.sent()).toBeLessThan(128 * 1024 * 1024);
  between.does((_path, answer) => answer);
  expect((await pull())?.revision).toBeGreaterThan(before?.revision ?? 0);
});

test("an order is done once, however often it is shown", async () => {
  const { control, between, orders, pull, host } = await bench();
  const { binding } = await declare(control, { id: host }, "photos");
  await pull();
  await control.admin.send("POST", `/api/v1/bindings/${binding.id}/run`);
  const shown: Answer[] = [];
  between.does((path, answer) => {
    if (path === "/agent/v1/orders") shown.push(answer);
    return answer;
  });
  expect(await orders()).toHaveLength(1);
  control.pass(26 * 3_600_000);
  between.does((_path, answer) => shown[0] ?? answer);
  expect(await orders()).toEqual([]);
});

test("a redirect is not followed: the token stays at its address", async () => {
  const { between, pull } = await bench();
  const heard: string[] = [];
  const elsewhere = await listen(
    createServer((request, response) => {
      heard.push(request.headers.authorization ?? "nothing");
      response.end("{}");
    }),
  );
  between.does(() => ({ status: 307, headers: { location: `${elsewhere}/agent/v1/assignment` }, body: "" }));
  await expect(pull()).rejects.toMatchObject({ kind: "rejected" });
  expect(heard).toEqual([]);
});

test("with an https address, nothing is said to who answers without TLS or with a certificate of his own", async () => {
  const { api } = await bench();
  const heard: Buffer[] = [];
  const plain = createTcpServer((socket) => {
    socket.on("data", (bytes: Buffer) => {
      heard.push(bytes);
      socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    });
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void plain.close());
  const { root } = await scratchRoot();
  const [key, certificate] = [join(root, "key.pem"), join(root, "certificate.pem")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  execFileSync("openssl", ["req", "-x509", ...kind, ...names, "-keyout", key, "-out", certificate], {
    stdio: "ignore",
  });
  const impostor = createTlsServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (request, response) => {
    heard.push(Buffer.from(request.headers.authorization ?? ""));
    response.end("{}");
  });
  await new Promise<void>((resolve) => impostor.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void impostor.close());
  for (const { port } of [plain.address() as AddressInfo, impostor.address() as AddressInfo]) {
    await expect(api(`https://127.0.0.1:${port}`).getOrders()).rejects.toMatchObject({ kind: "offline" });
  }
  expect(Buffer.concat(heard).toString("latin1")).not.toContain("Bearer");
});

test("who says that the host is revoked takes nothing from it but the pulls", async () => {
  const { control, between, pull, host, current } = await bench();
  await declare(control, { id: host }, "photos");
  const before = await pull();
  const body = JSON.stringify({ error: { code: "auth.host_revoked", message: "this host is revoked" } });
  between.does(() => ({ status: 403, headers: { "content-type": "application/json" }, body }));
  await expect(pull()).rejects.toMatchObject({ kind: "revoked" });
  expect(current()).toEqual(before);
});
