import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import * as z from "zod";
import { createApp, type App } from "../../control/app.ts";
import { migrate } from "../../control/db/migrate.ts";
import type { Deps, SigningKey } from "../../control/deps.ts";
import { createToken } from "../../control/domain/service/tokens.ts";
import { openDatabase } from "../../control/runtime/node/database.ts";
import type { Scope } from "../../shared/api.ts";
import { JWS_TYPES } from "../../shared/assignment.ts";
import { ErrorBody } from "../../shared/failure.ts";
import { EnrollmentCreated, Enrolment, type HostFacts } from "../../shared/host.ts";
import { startSqld } from "./sqld.ts";

/**
 * A control plane's core without a runtime: the real app on a real database, asked in-process, at a time the test
 * holds.
 */
export interface TestControl {
  readonly deps: Deps;
  readonly app: App;
  readonly admin: Asker;
  /** What the hub was told, oldest first: `poke HOST assignment`, `disconnect HOST revoked`. */
  readonly hubCalls: string[];
  /** Signs of life of sockets that are open, by host: what the hub answers when asked. */
  readonly heard: Map<string, number>;
  /** What a host says when it is asked for a user; null: nothing, as of numbers. Of others it says that it has none. */
  readonly said: Map<string, boolean | null>;
  /** How often the outbox was woken. */
  wakes(): number;
  pass(milliseconds: number): void;
  withScope(scope: Scope): Promise<Asker>;
  enrol(name: string, facts?: Partial<HostFacts>): Promise<TestHost>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

/** Asks the app with one credential. */
export interface Asker {
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Demands a 2xx, and that the answer is of the schema. */
  ask<T>(schema: z.ZodType<T>, method: string, path: string, body?: unknown): Promise<T>;
  /** Demands a refusal. */
  refused(method: string, path: string, body?: unknown): Promise<{ status: number } & ErrorBody["error"]>;
}

export interface TestHost extends Asker {
  readonly id: string;
  readonly name: string;
  readonly publicKey: string;
  readonly controlKey: string;
  jwt(change?: { aud?: string; sub?: string; typ?: string; iat?: number; exp?: number }): Promise<string>;
}

export const URL_OF_CONTROL = "http://control.test";

export const FACTS: HostFacts = {
  hostname: "host.example",
  os: "Debian GNU/Linux 12 (bookworm)",
  arch: "x64",
  agentVersion: "0.1.0",
  zone: "Europe/Berlin",
  runsAs: "root",
  users: ["root", "vaultwarden", "photos"],
  engines: [],
  hooksPolicy: "named",
  hooks: [],
  troubles: [],
  nextControlKey: null,
  level: null,
  approvals: [],
  recipient: null,
};

/** Both kinds that the control plane runs on: a file of its own, and a libSQL server over HTTP. */
export const DATABASES = ["file", "server"] as const;

/** An empty database, gone after the test. */
export async function emptyDatabase(kind: (typeof DATABASES)[number]) {
  const db = openDatabase(kind === "file" ? await newFile() : await newServer());
  onTestFinished(() => db.$client.close());
  return db;
}

async function newFile(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-core-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return `file:${join(directory, "control.db")}`;
}

async function newServer(): Promise<string> {
  const server = await startSqld();
  onTestFinished(() => server.stop());
  return server.url;
}

interface WantedCore {
  /** Where the held clock starts. */
  now?: string;
  /** The package it serves for other machines; none when it is left out. */
  agentFiles?: Record<"install.sh" | "SHA256SUMS", string>;
  /** Hears what the control plane logs as an error; stderr does when nobody is given. */
  onError?: (message: string, facts: unknown) => void;
}

interface Wanted extends WantedCore {
  database?: (typeof DATABASES)[number];
}

export async function testControl(input: Wanted = {}): Promise<TestControl> {
  return controlOn(await emptyDatabase(input.database ?? "file"), input);
}

/** As `testControl`, on a database that the caller made and takes away: for what is no test. */
export async function controlOn(db: Deps["db"], input: WantedCore = {}): Promise<TestControl> {
  await migrate(db);
  const onError =
    input.onError ?? ((message, facts) => void process.stderr.write(`${message} ${JSON.stringify(facts)}\n`));
  let now = Date.parse(input.now ?? "2026-11-23T08:00:00.000Z");
  let wakes = 0;
  const hubCalls: string[] = [];
  const heard = new Map<string, number>();
  const said = new Map<string, boolean | null>();
  const deps: Deps = {
    db,
    clock: { now: () => now },
    random: (bytes) => new Uint8Array(randomBytes(bytes)),
    log: { info: () => undefined, error: onError },
    hub: {
      poke: async (host, pull) => void hubCalls.push(`poke ${host} ${pull}`),
      ask: async (host, { user }) => {
        hubCalls.push(`ask ${host} ${user}`);
        return said.get(user) ?? (said.has(user) || /^\d+$/.test(user) ? null : false);
      },
      lastHeardAt: async (hosts) => {
        hubCalls.push(...hosts.map((host) => `hear ${host}`));
        return new Map([...heard].filter(([host]) => hosts.includes(host)));
      },
      mostAsked: Number.POSITIVE_INFINITY,
      disconnect: async (host, why) => void hubCalls.push(`disconnect ${host} ${why}`),
    },
    signingKey: await newSigningKey(),
    post: () => Promise.reject(new Error("nothing is sent in these tests")),
    mail: () => Promise.reject(new Error("nothing is sent in these tests")),
    config: { url: URL_OF_CONTROL, version: "0.0.0" },
    agentFiles: { read: async (name) => input.agentFiles?.[name] ?? null },
    wakeOutbox: () => void wakes++,
  };
  const app = createApp(deps, { socket: (context, host) => context.json({ socketOf: host }) });
  const withScope = async (scope: Scope) => {
    const { token } = await createToken(deps, { name: `test-${randomUUID()}`, scope, expiresInSeconds: null });
    return askerOf(app, () => token);
  };
  const admin = await withScope("admin");
  return {
    deps,
    app,
    admin,
    hubCalls,
    heard,
    said,
    wakes: () => wakes,
    pass: (milliseconds) => {
      now += milliseconds;
    },
    withScope,
    enrol: (name, facts = {}) => enrol(deps, app, admin, name, { ...FACTS, ...facts }),
  };
}

/** @param bearer null: no credential is sent */
export function askerOf(app: App, bearer: (() => string | Promise<string>) | null): Asker {
  const send: Asker["send"] = async (method, path, body, extra = {}) => {
    const headers = new Headers(extra);
    if (bearer !== null) headers.set("authorization", `Bearer ${await bearer()}`);
    if (body !== undefined && !headers.has("content-type")) headers.set("content-type", "application/json");
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const answer = await app.request(path, { method, headers, ...(body === undefined ? {} : { body: text }) });
    const isJson = answer.headers.get("content-type")?.includes("json") ?? false;
    const replied = await answer.text();
    return { status: answer.status, headers: answer.headers, body: isJson ? JSON.parse(replied) : replied };
  };
  return {
    send,
    ask: async (schema, method, path, body) => {
      const answer = await send(method, path, body);
      if (answer.status > 299) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
      return schema.parse(answer.body);
    },
    refused: async (method, path, body) => {
      const answer = await send(method, path, body);
      if (answer.status < 400)
        throw new Error(`${method} ${path} was not refused: ${answer.status} ${JSON.stringify(answer.body)}`);
      return { status: answer.status, ...ErrorBody.parse(answer.body).error };
    },
  };
}

/** A public key as an agent sends it, and what signs with it. */
export async function newHostKey() {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  return { publicKey: z.string().parse((await exportJWK(publicKey)).x), privateKey };
}

async function enrol(deps: Deps, app: App, admin: Asker, name: string, facts: HostFacts): Promise<TestHost> {
  const { token } = await admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name });
  const key = await newHostKey();
  const request = { token, publicKey: key.publicKey, facts };
  const { jws } = await askerOf(app, null).ask(z.object({ jws: z.string() }), "POST", "/agent/v1/enroll", request);
  const enrolment = Enrolment.parse(JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString()));
  const jwt: TestHost["jwt"] = async (change = {}) => {
    const iat = change.iat ?? Math.floor(deps.clock.now() / 1000);
    return new SignJWT({ jti: randomUUID() })
      .setProtectedHeader({ alg: "EdDSA", typ: change.typ ?? JWS_TYPES.agent })
      .setSubject(change.sub ?? enrolment.host)
      .setAudience(change.aud ?? URL_OF_CONTROL)
      .setIssuedAt(iat)
      .setExpirationTime(change.exp ?? iat + 60)
      .sign(key.privateKey);
  };
  const { host: id, controlKey } = enrolment;
  return { id, name: enrolment.name, publicKey: key.publicKey, controlKey, jwt, ...askerOf(app, () => jwt()) };
}

/** The key of another control plane. */
export async function newSigningKey(): Promise<SigningKey> {
  const { publicKey, privateKey } = await newHostKey();
  const fingerprint = createHash("sha256").update(Buffer.from(publicKey, "base64url")).digest("base64url");
  return { publicKey, fingerprint, privateKey };
}
