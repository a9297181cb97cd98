import { createHash, randomBytes } from "node:crypto";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { Deps } from "../../control/deps.ts";
import { agentFilesDigest } from "../../control/domain/hosts/install-script.ts";
import { installScriptRoute } from "../../control/routes/install.ts";
import { installRoutes, readAgentFiles } from "../../control/runtime/node/install.ts";
import { paste } from "../support/pasted.ts";
import type { Pasted } from "../support/pasted.ts";

// The script and what serves it, with the real files of `npm run package`; machine.test.ts goes on to a whole host.

const packaged = join(import.meta.dirname, "../../dist/install");
const sums = "SHA256SUMS";

let directory: string;
let served: string;
let host: string;
let origin: string;
let stop: () => Promise<void>;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "holdfast-install-"));
  served = join(directory, "served");
  await new Promise<void>((resolve) => {
    const config = { url: "", version: "0.0.0" };
    const { fetch } = routes(config);
    const server = serve({ fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => {
      origin = `http://127.0.0.1:${port}`;
      config.url = origin;
      resolve();
    });
    stop = () => new Promise((done) => server.close(() => done()));
  });
});

beforeEach(() => {
  cpSync(packaged, served, { recursive: true });
  host = join(directory, "host");
  mkdirSync(host);
});

afterEach(() => {
  rmSync(served, { recursive: true, force: true });
  rmSync(host, { recursive: true, force: true });
});

afterAll(async () => {
  await stop();
  rmSync(directory, { recursive: true, force: true });
});

test("a changed agent file is refused and nothing is left", async () => {
  const token = await tokenFor(served);
  appendFileSync(join(served, "holdfast-agent-linux-x64.gz.01"), "one byte too many");
  const { code, said } = await install(token);
  expect(said).toContain("is not the file its sum was made of, so nothing was installed");
  expect(code).toBe(1);
  expect(left()).toEqual([]);
});

test("a changed list of sums is refused, even when it fits a changed file", async () => {
  const token = await tokenFor(served);
  const part = "holdfast-agent-linux-x64.gz.00";
  appendFileSync(join(served, part), "one byte too many");
  const sum = createHash("sha256")
    .update(readFileSync(join(served, part)))
    .digest("hex");
  const list = readFileSync(join(served, sums), "utf8");
  writeFileSync(join(served, sums), list.replace(new RegExp(`[0-9a-f]{64}(?= {2}${part})`), sum));
  const { code, said } = await install(token);
  expect(said).toContain("is not the one this token was made for");
  expect(code).toBe(1);
  expect(left()).toEqual([]);
});

test("a token of another control plane's files is refused", async () => {
  const { code, said } = await install(`${bareToken()}.${"0".repeat(64)}`);
  expect(said).toContain("is not the one this token was made for");
  expect(code).toBe(1);
  expect(left()).toEqual([]);
});

test("a token without a digest is refused with the reason", async () => {
  const { code, said } = await install(bareToken());
  expect(said).toContain("carries no digest");
  expect(code).toBe(1);
  expect(left()).toEqual([]);
});

test.each(["", "hello", "hfe.a", "hfe.a.b.c.d", "hfe.a.b.$(id)", `hfe.${"a".repeat(43)}.${"b".repeat(43)}.abc`])(
  "%j is no token",
  async (token) => {
    const { code } = await install(token);
    expect(code).toBeGreaterThan(0);
    expect(left()).toEqual([]);
  },
);

test("an unsupported machine gets an error", async () => {
  const tools = join(directory, "tools");
  mkdirSync(tools);
  writeFileSync(join(tools, "uname"), '#!/bin/sh\ncase "$1" in -s) echo Linux ;; *) echo riscv64 ;; esac\n', {
    mode: 0o755,
  });
  const { code, said } = await install(await tokenFor(served), { PATH: `${tools}:${process.env["PATH"]}` });
  expect(said).toContain("no agent for a riscv64 processor");
  expect(code).toBe(1);
  expect(left()).toEqual([]);
});

test.runIf(process.getuid?.() === 0)("a user who is not root is shown the command", async () => {
  const script = await (await fetch(`${origin}/install.sh`)).text();
  const { code, said } = await paste(script, ["--token", await tokenFor(served)], {}, 65_534);
  expect(said).toContain("put sudo before sh");
  expect(code).toBe(1);
});

test("a download of the script cut at any line does nothing", async () => {
  const lines = (await (await fetch(`${origin}/install.sh`)).text()).trimEnd().split("\n");
  expect(lines.at(-1)).toMatch(/^main "\$@"/);
  const token = await tokenFor(served);
  for (let count = 0; count < lines.length; count += 7) {
    await sh(`${lines.slice(0, count).join("\n")}\n`, ["--token", token]);
    expect(left()).toEqual([]);
  }
});

test("shell syntax in a URL is not executed", async () => {
  const url = "http://a'$(touch${IFS}hacked)`id`\"b";
  const answer = await routes({ url, version: "0.0.0" }).request("/install.sh");
  const line = /^default_url=.*$/m.exec(await answer.text())?.[0] ?? "";
  const { said } = await sh(`${line}\nprintf %s "$default_url"\n`, []);
  expect(said).toBe(url);
});

test("the files are served completely, with their length", async () => {
  for (const name of [sums, "holdfast-agent-linux-arm64", "holdfast-agent-linux-arm64.gz.01"]) {
    const bytes = readFileSync(join(packaged, name));
    const answer = await fetch(`${origin}/install/${name}`);
    expect(answer.headers.get("content-length")).toBe(String(bytes.length));
    expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
    const head = await fetch(`${origin}/install/${name}`, { method: "HEAD" });
    expect(head.headers.get("content-length")).toBe(String(bytes.length));
  }
  expect(await digestOf(served)).toBe(
    createHash("sha256")
      .update(readFileSync(join(packaged, sums)))
      .digest("hex"),
  );
});

test.each(["/install/../../package.json", "/install/%2e%2e%2fpackage.json", "/install/install.sh", "/install/"])(
  "%s leads nowhere",
  async (path) => {
    expect(await status(path)).toBe(404);
  },
);

test("a control plane without an agent package says how to build it", async () => {
  rmSync(served, { recursive: true });
  await expect(routes({ url: "", version: "0.0.0" }).request("/install.sh")).rejects.toMatchObject({
    code: "route.not_found",
    message: expect.stringContaining("npm run package"),
  });
  expect(await status(`/install/${sums}`)).toBe(404);
  expect(await digestOf(served)).toBeNull();
});

function bareToken(): string {
  return `hfe.${randomBytes(32).toString("base64url")}.${randomBytes(32).toString("base64url")}`;
}

async function tokenFor(files: string): Promise<string> {
  return `${bareToken()}.${await digestOf(files)}`;
}

function digestOf(files: string): Promise<string | null> {
  return agentFilesDigest({ agentFiles: readAgentFiles(files) });
}

/** What a control plane serves to a machine that has no agent yet. */
function routes(config: Deps["config"]): Hono {
  const agentFiles = readAgentFiles(served);
  return new Hono()
    .onError((error) => {
      throw error;
    })
    .route("/", installScriptRoute({ agentFiles, config }))
    .route("/", installRoutes(served));
}

/** Everything in the host's root, and what the script may have forgotten in its temporary directory. */
function left(): string[] {
  return readdirSync(host, { recursive: true }).map(String);
}

/** What a person pastes, into a root of its own. */
async function install(token: string, environment: Record<string, string> = {}): Promise<Pasted> {
  const script = await (await fetch(`${origin}/install.sh`)).text();
  return await sh(script, ["--token", token], environment);
}

/** Nothing of ours may be left in the temporary directory either, so it lies in the host's root. */
function sh(script: string, words: string[], environment: Record<string, string> = {}): Promise<Pasted> {
  return paste(script, words, { HOLDFAST_AGENT_ROOT: host, TMPDIR: host, ...environment });
}

/** fetch() tidies a path before it sends it; this sends it as it is. */
function status(path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(origin, { path }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    }).once("error", reject);
  });
}
