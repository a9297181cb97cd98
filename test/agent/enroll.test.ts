import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import * as z from "zod";
import { openApi } from "../../agent/link/api.ts";
import { agentPaths, readConfig } from "../../agent/config.ts";
import type { Paths } from "../../agent/config.ts";
import { enroll, enrollVerb } from "../../agent/cli/enroll.ts";
import { parseArguments } from "../../shared/node/arguments.ts";
import { loadDecideState } from "../../agent/in-force/grant-state.ts";
import { decide } from "../../agent/policy/decide.ts";
import { loadPolicy } from "../../agent/policy/policy.ts";
import { FilesContract } from "../../shared/contract.ts";
import { loadIdentity, loadOrCreateIdentity } from "../../agent/link/identity.ts";
import { JWS_TYPES } from "../../shared/assignment.ts";
import { EnrollmentCreated } from "../../shared/host.ts";
import { openClient } from "../support/client.ts";
import { controlForThisFile } from "../support/control-under-test.ts";
import { startNodeControl } from "../support/node-control.ts";
import { scratchRoot } from "./scratch.ts";
import { configOf, makeSigner, newId } from "./signer.ts";

const control = controlForThisFile(startNodeControl);
const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

function depsOf(paths: Paths) {
  const lines: string[] = [];
  return { deps: { paths, clock: Date, random, log: (line: string) => void lines.push(line) }, lines };
}

const admin = openClient(
  () => control().url,
  () => control().adminToken,
);

async function newToken(name: string): Promise<string> {
  return (await admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name })).token;
}

/** The host as its agent sees it: everything it has in its files, used. */
async function apiOf(paths: Paths) {
  const [config, identity] = [await readConfig(paths), await loadIdentity(paths)];
  if (config === null || identity === null) throw new Error("not enrolled");
  return openApi({ config, identity, clock: Date, random });
}

/** Something that answers HTTP as a test wants. */
async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void> | void,
): Promise<string> {
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  return body;
}

test("a token enrols this machine as a host, which then authenticates with its own key", async () => {
  const { paths } = await scratchRoot();
  const { config, wasAlready } = await enroll(depsOf(paths).deps, {
    url: `${control().url}/`,
    token: await newToken("nas"),
  });
  expect(wasAlready).toBe(false);
  expect(config).toMatchObject({ name: "nas", url: control().url, audience: control().url });
  expect(await readConfig(paths)).toEqual(config);
  expect((await stat(paths.etc)).mode & 0o777).toBe(0o755);
  expect(await (await apiOf(paths)).getOrders()).toEqual({ orders: [] });
  expect(await readFile(paths.agentJson, "utf8")).not.toContain("hfe.");
});

test("the token is read from a file or from standard input; one in the arguments is accepted still", async () => {
  const [file, stdin, word] = [await newToken("by-file"), await newToken("by-pipe"), await newToken("by-word")];
  const path = join((await scratchRoot()).paths.root, "token");
  await writeFile(path, `${file}\n`);
  const typed = async (...words: string[]) => {
    const { deps } = depsOf((await scratchRoot()).paths);
    const said: string[] = [];
    const out = (text: string) => void said.push(text);
    const more = { out, env: {}, stdin: async () => `${stdin}\n`, stopSignal: () => new AbortController().signal };
    const given = parseArguments(["--url", control().url, ...words], enrollVerb.takes);
    return { status: await enrollVerb.run({ ...deps, ...more }, given), said: said.join("") };
  };
  expect(await typed("--token-file", path)).toEqual({ status: 0, said: expect.stringContaining("now host by-file") });
  expect(await typed("--token", "-")).toEqual({ status: 0, said: expect.stringContaining("now host by-pipe") });
  expect(await typed("--token", word)).toEqual({ status: 0, said: expect.stringContaining("now host by-word") });
  await expect(typed("--token", word, "--token-file", path)).rejects.toThrow("not both");
  await expect(typed("--token-file", `${path}-gone`)).rejects.toThrow("--token-file: there is no");
  await expect(typed()).rejects.toThrow("--token is missing");
  await expect(typed("--token", word, "--level", "total")).rejects.toThrow("--level must be guarded, ask or open");
  await expect(typed("--token", word, "--source", "etc")).rejects.toThrow("--source 'etc' must be an absolute path");
});

test("what root grants with the line is allowed from then on, and is said; nothing else is", async () => {
  const { paths } = await scratchRoot();
  const said: string[] = [];
  const out = (text: string) => void said.push(text);
  const more = { out, env: {}, stdin: async () => "", stopSignal: () => new AbortController().signal };
  const line = ["--hook", "stop-it", "--source", "/etc", "--secret-dir", "/run/keys", "--level", "guarded"];
  const words = ["--url", control().url, "--token", await newToken("granting"), ...line];
  await enrollVerb.run({ ...depsOf(paths).deps, ...more }, parseArguments(words, enrollVerb.takes));
  expect(said.join("")).toContain("grants hook stop-it: ");
  expect(said.join("")).toContain("grants source /etc: Back up /etc");
  expect(said.join("")).toContain("grants /run/keys: secrets of repositories may be read from there");
  const policy = await loadPolicy(paths);
  expect(policy).toMatchObject({ level: "guarded", secrets: ["/run/keys"], fault: null });

  const state = await loadDecideState(paths, policy);
  const verdictOn = (source: string, hook: string) => {
    const hooks = { beforeBackup: [hook], afterBackup: [] };
    const request = { user: "root", sourceDirectories: [source], hooks };
    const contract = FilesContract.extend({ id: z.string(), name: z.string(), declared: z.boolean() }).parse({
      id: newId(),
      name: "c",
      declared: false,
      kind: "files",
      request,
    });
    return decide(policy, state, { kind: "contract", contract }).verdict;
  };
  expect(verdictOn("/etc", "stop-it")).toBe("allowed");
  expect(verdictOn("/etc/ssh", "stop-it")).toBe("waits");
  expect(verdictOn("/etc", "stop-them-all")).toBe("waits");
});

test("enrolled twice at the same control plane it stays the host it was, even with a new token", async () => {
  const { paths } = await scratchRoot();
  const first = await enroll(depsOf(paths).deps, { url: control().url, token: await newToken("twice") });
  const again = await enroll(depsOf(paths).deps, { url: control().url, token: await newToken("thrice") });
  expect(again).toEqual({ config: first.config, wasAlready: true, granted: [] });
});

test("a lost answer is requested again with the same token and key", async () => {
  const { paths } = await scratchRoot();
  const token = await newToken("lossy");
  let isCutting = true;
  const proxy = await serve(async (request, response) => {
    const body = await bodyOf(request);
    const answer = await openClient(control().url, null).send("POST", request.url ?? "", JSON.parse(body));
    if (isCutting) return void request.socket.destroy();
    response.writeHead(answer.status, { "content-type": "application/json" });
    response.end(JSON.stringify(answer.body));
  });
  await expect(enroll(depsOf(paths).deps, { url: proxy, token })).rejects.toMatchObject({ kind: "offline" });
  const key = (await loadIdentity(paths))?.publicKey;
  isCutting = false;
  const { config } = await enroll(depsOf(paths).deps, { url: proxy, token });
  expect(config.name).toBe("lossy");
  expect((await loadIdentity(paths))?.publicKey).toBe(key);
  const hosts = await admin.send("GET", "/api/v1/hosts?name=lossy");
  expect(hosts.body).toMatchObject({ items: [{ id: config.host }] });
});

test("a revoked machine becomes a new host, with a new key; the old key is kept aside", async () => {
  const { paths } = await scratchRoot();
  const first = await enroll(depsOf(paths).deps, { url: control().url, token: await newToken("stolen") });
  const key = (await loadIdentity(paths))?.publicKey;
  await admin.ask(z.unknown(), "PATCH", `/api/v1/hosts/${first.config.host}`, { revoked: true });
  await expect((await apiOf(paths)).getOrders()).rejects.toMatchObject({ kind: "revoked" });

  const { deps, lines } = depsOf(paths);
  const second = await enroll(deps, { url: control().url, token: await newToken("bought-back") });
  expect(second.wasAlready).toBe(false);
  expect(second.config.host).not.toBe(first.config.host);
  expect((await loadIdentity(paths))?.publicKey).not.toBe(key);
  expect(lines).toEqual([expect.stringContaining("has been revoked: it becomes a new host")]);
});

test("a machine that belongs to another control plane is not taken over", async () => {
  const { paths } = await scratchRoot();
  const { config } = await enroll(depsOf(paths).deps, { url: control().url, token: await newToken("loyal") });
  const stranger = await makeSigner();
  const token = `hfe.${"A".repeat(43)}.${stranger.fingerprint}`;
  await expect(enroll(depsOf(paths).deps, { url: "http://127.0.0.1:9", token })).rejects.toThrow(
    /is already host loyal of .* run 'holdfast-agent uninstall' first/,
  );
  expect(await readConfig(paths)).toEqual(config);
});

test("a used token fails with the control plane's error message", async () => {
  const token = await newToken("single");
  await enroll(depsOf((await scratchRoot()).paths).deps, { url: control().url, token });
  const { paths } = await scratchRoot();
  await expect(enroll(depsOf(paths).deps, { url: control().url, token })).rejects.toMatchObject({
    kind: "rejected",
    code: "enrollments.token_refused",
  });
  expect(await readConfig(paths)).toBeNull();
});

test.each([
  ["is signed by somebody in between", { by: "other", type: JWS_TYPES.enrolment, key: "sent" }],
  ["was signed as something else", { by: "pinned", type: JWS_TYPES.assignment, key: "sent" }],
  ["is of another host's key", { by: "pinned", type: JWS_TYPES.enrolment, key: "other" }],
  ["names the pinned key and is signed by another", { by: "forged", type: JWS_TYPES.enrolment, key: "sent" }],
])("an answer that %s is not believed", async (_name, { by, type, key }) => {
  const { paths } = await scratchRoot();
  const [pinned, other] = [await makeSigner(), await makeSigner()];
  const url = await serve(async (request, response) => {
    const { publicKey } = JSON.parse(await bodyOf(request));
    const claimed = by === "other" ? other : pinned;
    const enrolment = {
      host: newId(),
      name: "nas",
      audience: "http://nas.example",
      controlKey: claimed.publicKey,
      publicKey: key === "sent" ? publicKey : other.publicKey,
    };
    const jws = await (by === "pinned" ? pinned : other).sign(enrolment, type);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ jws }));
  });
  const token = `hfe.${"A".repeat(43)}.${pinned.fingerprint}`;
  await expect(enroll(depsOf(paths).deps, { url, token })).rejects.toMatchObject({ name: "EnrollError" });
  expect(await readConfig(paths)).toBeNull();
});

/** The agent's API client against a server of our own. */
async function apiAgainst(answer: Parameters<typeof serve>[0], now = Date.now()) {
  const { paths } = await scratchRoot();
  const url = await serve(answer);
  const config = configOf(await makeSigner(), { url, audience: url });
  return openApi({ config, identity: await loadOrCreateIdentity(paths), clock: { now: () => now }, random });
}

test("a host with clock skew takes the time from the rejected request and succeeds at the second attempt", async () => {
  const issued: number[] = [];
  const wrong = Date.now() - 40 * 86_400_000;
  const api = await apiAgainst((request, response) => {
    const [, claims = ""] = (request.headers.authorization ?? "").split(".");
    const { iat } = JSON.parse(Buffer.from(claims, "base64url").toString());
    issued.push(iat);
    const isRight = Math.abs(iat * 1000 - Date.now()) < 300_000;
    response.writeHead(isRight ? 200 : 401, { "content-type": "application/json" });
    const error = { code: "auth.clock_wrong", message: "the host's clock is wrong" };
    response.end(JSON.stringify(isRight ? { orders: [] } : { error }));
  }, wrong);
  expect(await api.getOrders()).toEqual({ orders: [] });
  expect(issued).toHaveLength(2);
  expect(api.clockOffset() / 86_400_000).toBeCloseTo(40, 3);
  await api.getOrders();
  expect(issued).toHaveLength(3);
});

test.each([
  ["a page of somebody in between", 200, "<html>Welcome to the hotel</html>", "offline"],
  ["a proxy without its control plane", 502, "Bad Gateway", "offline"],
  ["a 404 that is not the control plane's", 404, "not found", "offline"],
  ["too many requests", 429, "", "offline"],
  ["a refusal", 400, '{"error":{"code":"request.invalid","message":"no"}}', "rejected"],
  ["a body too large, said by a proxy", 413, "too large", "rejected"],
  ["a revocation", 401, '{"error":{"code":"auth.host_revoked","message":"revoked"}}', "revoked"],
])("%s counts as what it is", async (_name, status, body, trouble) => {
  const api = await apiAgainst((_request, response) => void response.writeHead(status).end(body));
  await expect(api.getOrders()).rejects.toMatchObject({ kind: trouble });
});

test("a redirect is not followed with a host's signature: the error names its target", async () => {
  const api = await apiAgainst((_request, response) => {
    response.writeHead(301, { location: "https://elsewhere.example/" }).end();
  });
  await expect(api.getOrders()).rejects.toThrow("sends on to https://elsewhere.example/: enrol with that address");
});

test("all paths move with the root", () => {
  const { root, ...paths } = agentPaths("/tmp/one");
  expect(root).toBe("/tmp/one");
  for (const path of Object.values(paths)) expect(path.startsWith("/tmp/one/")).toBe(true);
  expect(agentPaths("").keyFile).toBe("/var/lib/holdfast/host.key");
});
