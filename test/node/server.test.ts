import { execFileSync } from "node:child_process";
import { readFile, stat, writeFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { hosts } from "../../control/db/schema/hosts.ts";
import { deliveries } from "../../control/db/schema/notifications.ts";
import { createToken } from "../../control/domain/service/tokens.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { openDatabase } from "../../control/runtime/node/database.ts";
import { type RunningControl, startControl } from "../../control/runtime/node/server.ts";
import { openSigningKey } from "../../control/runtime/node/signing-key.ts";
import { ErrorBody } from "../../shared/failure.ts";
import { ChannelCreated } from "../../shared/channel.ts";
import { Delivery } from "../../shared/event.ts";
import { Host } from "../../shared/host.ts";
import { instant } from "../../shared/ids.ts";
import { openClient } from "../support/client.ts";
import { openFakeSocket } from "../support/fake-socket.ts";
import { enrolFakeHost } from "../support/fake-host.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";
import { temporaryDirectory } from "./deps.ts";
import { httpReceiver } from "./http-receiver.ts";

test("is healthy at its actual port", async () => {
  const control = await startIn(await temporaryDirectory());
  expect(control.url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d+$/);
  const answer = await fetch(`${control.url}/healthz`);
  expect([answer.status, await answer.json()]).toEqual([200, { status: "ok" }]);
});

test("one process locks the data directory, and releases it when it stops", async () => {
  const directory = await temporaryDirectory();
  const control = await startIn(directory);
  await expect(startIn(directory)).rejects.toThrow(`another control plane is running in ${directory}`);
  await control.close();
  await startIn(directory);
});

test("a read-only data directory is an error, and is used once it is writable", async () => {
  const directory = await temporaryDirectory();
  await (await startIn(directory)).close();
  const mount = (...words: string[]): void => void execFileSync("mount", [...words, directory]);
  mount("--bind", directory);
  onTestFinished(() => void execFileSync("umount", ["--lazy", directory]));
  mount("-o", "remount,bind,ro");
  await expect(startIn(directory)).rejects.toThrow(`the data directory ${directory} can't be used`);
  mount("-o", "remount,bind,rw");
  await (await startIn(directory)).close();
});

test("a port in use is an error, and the data directory is unlocked again", async () => {
  const server = createServer();
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  const directory = await temporaryDirectory();
  await expect(startIn(directory, { HOLDFAST_PORT: String(port) })).rejects.toThrow(
    `port ${port} on 127.0.0.1 is in use`,
  );
  await startIn(directory);
});

test("state, key and tokens outlive the process; connections do not", async () => {
  const directory = await temporaryDirectory();
  const port = String(await freePort());
  const first = await startIn(directory, { HOLDFAST_PORT: port });
  const { token } = await createToken(first.deps, { name: "me", scope: "admin", expiresInSeconds: null });
  const host = await enrolFakeHost(
    { name: "node", url: first.url, adminToken: token, stop: first.close, output: () => "" },
    "nas",
  );
  // As a process leaves it that was killed.
  await first.deps.db.update(hosts).set({ connectionId: host.id, connectedAt: "2026-11-23T08:00:00.000Z" });
  await first.close();

  const second = await startIn(directory, { HOLDFAST_PORT: port });
  expect(second.deps.signingKey.fingerprint).toBe(first.deps.signingKey.fingerprint);
  const client = openClient(second.url, () => token);
  expect(await client.ask(Host, "GET", `/api/v1/hosts/${host.id}`)).toMatchObject({ online: false, connectedAt: null });
  const socket = await host.connect();
  socket.close(1000);
});

test("lets a running request end when it stops, and closes sockets with 1001", async () => {
  const directory = await temporaryDirectory();
  const control = await startIn(directory);
  const { token } = await createToken(control.deps, { name: "me", scope: "admin", expiresInSeconds: null });
  const host = await enrolFakeHost(
    { name: "node", url: control.url, adminToken: token, stop: control.close, output: () => "" },
    "nas",
  );
  const socket = await host.connect();
  const body = JSON.stringify({ name: "late", scope: "read" });
  const slow = request(`${control.url}/api/v1/tokens`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", "content-length": body.length },
  });
  const answered = new Promise<number | undefined>((resolve, reject) => {
    slow.once("response", (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    slow.once("error", reject);
  });
  await new Promise<void>((resolve) => {
    slow.write(body.slice(0, 5), () => resolve());
  });
  // Whatever was asked after it on another connection is answered: the first half has arrived.
  await fetch(`${control.url}/healthz`);
  const closing = control.close();
  slow.end(body.slice(5));
  expect(await answered).toBe(201);
  await closing;
  expect((await socket.closed).code).toBe(1001);
  await expect(fetch(`${control.url}/healthz`)).rejects.toThrow("fetch failed");
});

test("a rejected socket is answered like any request", async () => {
  const control = await startIn(await temporaryDirectory());
  const answer = await rawUpgrade(control.url, "/agent/v1/socket");
  expect(answer.status).toBe(401);
  expect(ErrorBody.parse(JSON.parse(answer.body)).error.code).toBe("auth.required");
  expect((await rawUpgrade(control.url, "/api/v1/hosts")).status).toBe(401);
  expect((await rawUpgrade(control.url, "/healthz")).status).toBe(200);
});

test("the socket's route accepts its own subprotocol only", async () => {
  const control = await startIn(await temporaryDirectory());
  const { token } = await createToken(control.deps, { name: "me", scope: "admin", expiresInSeconds: null });
  const host = await enrolFakeHost(
    { name: "node", url: control.url, adminToken: token, stop: control.close, output: () => "" },
    "nas",
  );
  await expect(openFakeSocket(control.url, await host.token(), ["chat"])).rejects.toMatchObject({ status: 426 });
  const plain = await fetch(`${control.url}/agent/v1/socket`, {
    headers: { authorization: `Bearer ${await host.token()}` },
  });
  expect(plain.status).toBe(426);
});

test("the signing key is created once, readable by its owner only, and never replaced", async () => {
  const directory = await temporaryDirectory();
  const made = await openSigningKey(directory, undefined);
  const file = join(directory, "signing.key");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect((await openSigningKey(directory, undefined)).publicKey).toBe(made.publicKey);

  const given = await openSigningKey(await temporaryDirectory(), await readFile(file, "utf8"));
  expect(given.fingerprint).toBe(made.fingerprint);
  await writeFile(file, "spoilt\n");
  await expect(openSigningKey(directory, undefined)).rejects.toThrow(`${file} is not an Ed25519 private key`);
  expect(await readFile(file, "utf8")).toBe("spoilt\n");
});

test("a data directory that is a file is an error that names it", async () => {
  const directory = await temporaryDirectory();
  const file = join(directory, "data");
  await writeFile(file, "");
  await expect(startIn(file)).rejects.toThrow(file);
});

test("a rejected delivery is retried when it is due", async () => {
  const control = await startIn(await temporaryDirectory());
  const { token } = await createToken(control.deps, { name: "me", scope: "admin", expiresInSeconds: null });
  const client = openClient(control.url, () => token);
  const receiver = await httpReceiver();
  receiver.answer(500);
  const wanted = { name: "me", kind: "webhook", url: receiver.url };
  const channel = await client.ask(ChannelCreated, "POST", "/api/v1/channels", wanted);
  const sent = await client.ask(Delivery, "POST", `/api/v1/channels/${channel.id}/test`);
  await until("the first attempt", () => receiver.requests.length === 1);
  receiver.answer(204);
  const delivered = await until("the second attempt", async () => {
    const now = await client.ask(Delivery, "GET", `/api/v1/deliveries/${sent.id}`);
    return now.state === "delivered" && now;
  });
  expect(delivered).toMatchObject({ attempts: 2, lastStatus: 204 });
});

test("deliveries claimed by a killed control plane are sent at once by the next, before the lease expires", async () => {
  const directory = await temporaryDirectory();
  const killed = await startIn(directory);
  const { token } = await createToken(killed.deps, { name: "me", scope: "admin", expiresInSeconds: null });
  const receiver = await httpReceiver();
  receiver.answer(500);
  const client = openClient(killed.url, () => token);
  const wanted = { name: "me", kind: "webhook", url: receiver.url };
  const channel = await client.ask(ChannelCreated, "POST", "/api/v1/channels", wanted);
  await client.ask(Delivery, "POST", `/api/v1/channels/${channel.id}/test`);
  await until("the first attempt", () => receiver.requests.length === 1);
  await killed.close();
  receiver.answer(204);
  // As a process leaves it that was killed while it sent.
  const database = openDatabase(readConfig({ HOLDFAST_DATA: directory }).databaseUrl);
  const leaseUntil = instant(Date.now() + 50_000);
  const now = instant(Date.now());
  await database.update(deliveries).set({ nextAttemptAt: now, leaseUntil, leaseOwner: channel.id });
  database.$client.close();
  await startIn(directory);
  await until("the second attempt", () => receiver.requests.length === 2, 20);
  const [first, second] = receiver.requests.map(({ headers }) => headers["webhook-id"]);
  expect(second).toBe(first);
});

async function startIn(directory: string, environment: Record<string, string> = {}): Promise<RunningControl> {
  const control = await startControl(
    readConfig({ HOLDFAST_DATA: directory, HOLDFAST_PORT: "0", HOLDFAST_WEBHOOK_PRIVATE: "allow", ...environment }),
  );
  onTestFinished(control.close);
  return control;
}

function rawUpgrade(origin: string, path: string): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const upgrade = request(`${origin}${path}`, {
      headers: {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      },
    });
    upgrade.once("error", reject);
    upgrade.once("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
      response.on("end", () => resolve({ status: response.statusCode, body }));
    });
    upgrade.end();
  });
}
