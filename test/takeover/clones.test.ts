import { cp } from "node:fs/promises";
import { eq } from "drizzle-orm";
import { expect, test } from "vitest";
import { agentPaths } from "../../agent/config.ts";
import { readInstance, startInstance } from "../../agent/link/instance.ts";
import { hosts } from "../../control/db/schema/hosts.ts";
import { incidents } from "../../control/db/schema/incidents.ts";
import { CLONE_GONE_AFTER_MS, GONE_AFTER_MS } from "../../control/domain/hosts/instances.ts";
import { tick } from "../../control/tick.ts";
import { SignJWT } from "jose";
import * as z from "zod";
import { page } from "../../shared/api.ts";
import { Assignment, JWS_TYPES } from "../../shared/assignment.ts";
import { Binding } from "../../shared/binding.ts";
import { EnrollmentCreated, Host } from "../../shared/host.ts";
import { formatInstance, INSTANCE_HEADER, parseInstance } from "../../shared/instance.ts";
import { scratchRoot } from "../agent/scratch.ts";
import { reportOf, runIdAt } from "../control/reported.ts";
import { notifiedTypes, subscribedHost } from "../control/subscribed-host.ts";
import { askerOf, FACTS, newHostKey, type TestControl, type TestHost, URL_OF_CONTROL } from "../support/control.ts";

// Who copies a host's disk has its key. That is noticed as soon as both speak, and neither gets anything until it is
// known which one is the host.

const MINUTE = 60_000;

interface Machine {
  /** A request as a running agent makes it. @returns the error's code; null when it was answered */
  asks(path?: string): Promise<string | null>;
  reports(): Promise<number>;
  restart(): Promise<void>;
  readonly instance: () => string;
}

/** A machine with that host's key, and the files of an agent in a directory of its own. */
async function machine(host: TestHost, root: string): Promise<Machine> {
  const paths = agentPaths(root);
  let own = await startInstance(paths);
  const send = async (method: string, path: string, body?: unknown) => {
    const answer = await host.send(method, path, body, { [INSTANCE_HEADER]: formatInstance(own) });
    if (answer.status < 300) await own.confirm();
    return answer;
  };
  return {
    asks: async (path = "/agent/v1/assignment") => {
      const { status, body } = await send("GET", path);
      return status < 300 ? null : (body as { error: { code: string } }).error.code;
    },
    reports: async () => {
      const report = reportOf({
        id: runIdAt("2026-11-22T00:00:00.000Z"),
        binding: runIdAt("2026-11-22T00:00:00.000Z"),
        state: "succeeded",
      });
      return (await send("POST", "/agent/v1/reports", { reports: [report] })).status;
    },
    restart: async () => {
      own = await startInstance(paths);
    },
    instance: () => own.id,
  };
}

/** A host, and a copy of its disk as it is now. */
async function copied() {
  const { control, host } = await subscribedHost();
  const [disk, copy] = [await scratchRoot(), await scratchRoot()];
  const real = await machine(host, disk.root);
  expect(await real.asks()).toBeNull();
  await cp(disk.root, copy.root, { recursive: true });
  control.pass(MINUTE);
  return { control, host, real, copy: copy.root };
}

const hostOf = ({ admin }: TestControl, { id }: TestHost) => admin.ask(Host, "GET", `/api/v1/hosts/${id}`);
const accept = ({ admin }: TestControl, { id }: TestHost, instance: string) =>
  admin.send("PATCH", `/api/v1/hosts/${id}`, { accept: instance });

test("a copy of a host's disk is noticed when both speak: neither gets an assignment, orders or a socket", async () => {
  const { control, host, real, copy } = await copied();
  const thief = await machine(host, copy);
  // Alone it can't be told from a restart.
  expect(await thief.asks()).toBeNull();
  control.pass(MINUTE);
  control.hubCalls.length = 0;
  expect(await real.asks()).toBe("auth.host_cloned");
  // The other one is asked to speak.
  expect(control.hubCalls).toEqual([`poke ${host.id} orders`]);
  control.pass(1000);
  for (const path of ["assignment", "orders", "deliveries", "probes", "socket"]) {
    expect([path, await thief.asks(`/agent/v1/${path}`)]).toEqual([path, "auth.host_cloned"]);
    expect([path, await real.asks(`/agent/v1/${path}`)]).toEqual([path, "auth.host_cloned"]);
  }
  expect(await notifiedTypes(control)).toEqual(["host.cloned"]);
  const { instances } = await hostOf(control, host);
  expect([instances?.current.id, instances?.rival?.id]).toEqual([thief.instance(), real.instance()]);
  // What the real one has to report is not lost.
  expect(await real.reports()).toBe(200);
});

test("the owner says which one is the host: it goes on, and the other one is refused, also after a restart", async () => {
  const { control, host, real, copy } = await copied();
  const thief = await machine(host, copy);
  for (const one of [thief, real, thief]) {
    await one.asks();
    control.pass(MINUTE);
  }
  expect(await control.admin.refused("PATCH", `/api/v1/hosts/${host.id}`, { accept: "somebody-else" })).toMatchObject({
    status: 400,
    message: expect.stringContaining(real.instance()),
  });
  expect((await accept(control, host, real.instance())).status).toBe(200);
  expect(await real.asks()).toBeNull();
  expect(await thief.asks()).toBe("auth.host_revoked");
  await thief.restart();
  expect(await thief.asks()).toBe("auth.host_revoked");
  expect(await thief.reports()).toBe(403);
  await real.restart();
  control.pass(MINUTE);
  expect([await real.asks(), await real.asks("/agent/v1/orders")]).toEqual([null, null]);
  expect(await notifiedTypes(control)).toEqual(["host.clone_gone", "host.cloned"]);
  control.pass(MINUTE);
  // Under a new name it is noticed again, for as long as it has the key.
  const renamed = await machine(host, (await scratchRoot()).root);
  expect(await renamed.asks()).toBe("auth.host_cloned");
  control.pass(MINUTE);
  expect(await real.asks()).toBe("auth.host_cloned");
  expect((await notifiedTypes(control)).filter((type) => type === "host.cloned")).toHaveLength(2);
});

test("restarts, however they end and however late their requests come, are no clones", async () => {
  const { control, host } = await subscribedHost();
  const { root } = await scratchRoot();
  const one = await machine(host, root);
  expect(await one.asks()).toBeNull();
  for (let start = 0; start < 20; start++) {
    control.pass(5000);
    // Three starts without an answer: killed, or offline.
    for (let failed = 0; failed < 3; failed++) await one.restart();
    expect(await one.asks()).toBeNull();
  }
  // A request that was on its way when its process ended.
  const last = await readInstance(agentPaths(root));
  const late = await host.jwt({ iat: Math.floor(control.deps.clock.now() / 1000) });
  control.pass(10_000);
  await one.restart();
  expect(await one.asks()).toBeNull();
  const answer = await askerOf(control.app, () => late).send("GET", "/agent/v1/orders", undefined, {
    [INSTANCE_HEADER]: last === null ? "" : formatInstance(last),
  });
  expect(answer.status).toBe(200);
  control.pass(MINUTE);
  expect(await one.asks()).toBeNull();
  expect(await control.deps.db.select().from(incidents)).toEqual([]);
});

test("a machine that was set back to an older copy waits until the other is surely gone, and then goes on", async () => {
  const { control, host, real, copy } = await copied();
  await real.restart();
  expect(await real.asks()).toBeNull();
  await real.restart();
  expect(await real.asks()).toBeNull();
  control.pass(MINUTE);
  const restored = await machine(host, copy);
  expect(await restored.asks()).toBe("auth.host_cloned");
  expect(await restored.reports()).toBe(200);
  control.pass(GONE_AFTER_MS + 1);
  expect(await restored.asks()).toBeNull();
  await restored.restart();
  expect(await restored.asks()).toBeNull();
  expect(await control.deps.db.select().from(incidents)).toEqual([]);
});

test("of two that were there, one that is silent for a day is gone", async () => {
  const { control, host, real, copy } = await copied();
  const thief = await machine(host, copy);
  for (const one of [thief, real, thief]) {
    await one.asks();
    control.pass(MINUTE);
  }
  for (let hour = 0; hour < 23; hour++) {
    control.pass(60 * MINUTE);
    expect(await real.asks()).toBe("auth.host_cloned");
  }
  const offline = { ...control.deps, post: async () => ({ status: 200 }) };
  await tick(offline);
  expect((await control.deps.db.select().from(incidents)).find(({ kind }) => kind === "host.cloned")).toMatchObject({
    closedAt: null,
  });
  control.pass(CLONE_GONE_AFTER_MS - 23 * 60 * MINUTE + MINUTE);
  await tick(offline);
  expect(await real.asks()).toBeNull();
  expect((await notifiedTypes(control)).filter((type) => type.includes("clone"))).toEqual([
    "host.clone_gone",
    "host.cloned",
  ]);
});

/** Enrols a machine with a new key in the place of a host. */
async function replace(control: TestControl, name: string) {
  const { token } = await control.admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { replaces: name });
  const { publicKey, privateKey } = await newHostKey();
  const nobody = askerOf(control.app, null);
  const enrol = () => nobody.send("POST", "/agent/v1/enroll", { token, publicKey, facts: FACTS });
  const jwt = (host: string) => {
    const iat = Math.floor(control.deps.clock.now() / 1000);
    return new SignJWT({ jti: crypto.randomUUID() })
      .setProtectedHeader({ alg: "EdDSA", typ: JWS_TYPES.agent })
      .setSubject(host)
      .setAudience(URL_OF_CONTROL)
      .setIssuedAt(iat)
      .setExpirationTime(iat + 60)
      .sign(privateKey);
  };
  return { enrol, asker: (host: string) => askerOf(control.app, () => jwt(host)) };
}

test("a machine that was installed again takes its old place: contracts and bindings stay, the old key is nobody's", async () => {
  const { control, host, real, copy } = await copied();
  const { items: before } = await control.admin.ask(page(Binding), "GET", `/api/v1/bindings?host=${host.id}`);
  const thief = await machine(host, copy);
  for (const one of [thief, real, thief]) {
    await one.asks();
    control.pass(MINUTE);
  }
  const again = await replace(control, host.name);
  // Nothing happens until the new machine is there.
  expect((await host.send("POST", "/agent/v1/reports", { reports: [] })).status).toBe(400);
  control.hubCalls.length = 0;
  expect((await again.enrol()).status).toBe(200);
  expect(control.hubCalls).toContain(`disconnect ${host.id} revoked`);
  // A lost answer is asked for again.
  expect((await again.enrol()).status).toBe(200);
  for (const one of [real, thief]) expect(await one.asks()).toBe("auth.required");
  const asker = again.asker(host.id);
  const { jws } = await asker.ask(z.object({ jws: z.string() }), "GET", "/agent/v1/assignment");
  const assignment = Assignment.parse(JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString()));
  expect(assignment.bindings.map(({ id }) => id)).toEqual(before.map(({ id }) => id));
  expect(await hostOf(control, host)).toMatchObject({ id: host.id, name: host.name, instances: null, revokedAt: null });
  expect((await notifiedTypes(control)).filter((type) => type.includes("clone"))).toEqual([
    "host.clone_gone",
    "host.cloned",
  ]);
});

test("a revoked host's place can be taken too, by one machine, under its own name", async () => {
  const { control, host } = await subscribedHost();
  await control.admin.send("PATCH", `/api/v1/hosts/${host.id}`, { revoked: true });
  const again = await replace(control, host.id);
  expect((await again.enrol()).status).toBe(200);
  expect((await again.asker(host.id).send("GET", "/agent/v1/orders")).status).toBe(200);
  const refused = (body: object) => control.admin.refused("POST", "/api/v1/enrollments", body);
  expect(await refused({ replaces: "nobody" })).toMatchObject({ issues: [{ path: ["replaces"] }] });
  expect(await refused({ replaces: host.name, uses: 2 })).toMatchObject({ issues: [{ path: ["uses"] }] });
  expect(await refused({ replaces: host.name, name: "other" })).toMatchObject({ issues: [{ path: ["name"] }] });
  // A key that a host has already can't become another's.
  const other = await control.enrol("other");
  const { token } = await control.admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { replaces: host.name });
  const taken = { token, publicKey: other.publicKey, facts: FACTS };
  await askerOf(control.app, null).send("POST", "/agent/v1/enroll", taken);
  expect((await hostOf(control, host)).name).toBe(host.name);
  expect((await other.send("GET", "/agent/v1/orders")).status).toBe(200);
  expect((await again.asker(host.id).send("GET", "/agent/v1/orders")).status).toBe(200);
});

test("an agent that names no process is as good as before, until its host has named one", async () => {
  const { control, host } = await subscribedHost();
  expect((await host.send("GET", "/agent/v1/orders")).status).toBe(200);
  const real = await machine(host, (await scratchRoot()).root);
  expect(await real.asks()).toBeNull();
  control.pass(MINUTE);
  expect(await host.refused("GET", "/agent/v1/orders")).toMatchObject({ status: 409, code: "auth.host_cloned" });
  // An older agent that was installed again takes over when the newer one is gone.
  control.pass(GONE_AFTER_MS + 1);
  expect((await host.send("GET", "/agent/v1/orders")).status).toBe(200);
});

test("an idle request writes nothing more than once a minute", async () => {
  const { control, host, real } = await copied();
  const state = async () =>
    (await control.deps.db.select({ of: hosts.instances }).from(hosts).where(eq(hosts.id, host.id)))[0];
  await real.asks();
  const before = await state();
  control.pass(30_000);
  await real.asks();
  expect(await state()).toEqual(before);
  control.pass(30_000);
  await real.asks();
  expect(await state()).not.toEqual(before);
});

test.each([
  null,
  "",
  "x",
  "a b",
  "12345678 after",
  `12345678 after ${"a".repeat(65)}`,
  `1234567890 after ${Array(17).fill("12345678").join(",")}`,
])("%s names no process", (header) => {
  expect(parseInstance(header)).toBeNull();
});
