import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { migrate } from "../../control/db/migrate.ts";
import { readSigningKey } from "../../control/auth/signing-key.ts";
import { createToken } from "../../control/domain/service/tokens.ts";
import { openDatabase } from "../../control/runtime/node/database.ts";
import type { ControlUnderTest } from "./control-under-test.ts";
import { freePort } from "./free-port.ts";
import { startProgram } from "./program.ts";
import { startSqld } from "./sqld.ts";

export interface WorkerUnderTest extends ControlUnderTest {
  /** Fires the cron trigger, which does not fire by itself here. */
  tick(): Promise<void>;
  /** What its dead man's switch was asked so far, oldest first: `GET /ping`. */
  readonly heartbeats: readonly string[];
  /** The libSQL server that its state is in. */
  readonly databaseUrl: string;
}

const project = join(import.meta.dirname, "../..");

/**
 * Starts the Worker in workerd by `wrangler dev`, with a migrated sqld as its database. Nothing leaves this machine.
 */
export async function startWorker(): Promise<WorkerUnderTest> {
  const sqld = await startSqld();
  const directory = await mkdtemp(join(tmpdir(), "holdfast-worker-"));
  // From the start: a port that nobody listens on is soon another program's.
  const deadMansSwitch = await startDeadMansSwitch();
  const cleanUp = async (): Promise<void> => {
    await sqld.stop();
    await deadMansSwitch.stop();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const key = await newSigningKey();
    const db = openDatabase(sqld.url);
    await migrate(db);
    const made = await createToken(
      { db, clock: { now: () => Date.now() }, random: randomBytes, signingKey: await readSigningKey(key, "the test") },
      { name: "the-tests", scope: "admin", expiresInSeconds: null },
    );
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const vars = join(directory, "vars");
    await writeFile(vars, settings({ url, key, databaseUrl: sqld.url, heartbeatPort: deadMansSwitch.port }));
    const wrangler = await startProgram({
      ...wranglerCommand(directory, [
        "dev",
        "--local",
        "--ip=127.0.0.1",
        `--port=${port}`,
        "--inspector-port=0",
        "--show-interactive-dev-session=false",
        `--env-file=${vars}`,
        `--persist-to=${join(directory, "state")}`,
      ]),
      ready: async () => (await fetch(`${url}/healthz`)).ok,
    });
    return {
      name: "workerd",
      url,
      databaseUrl: sqld.url,
      adminToken: made.token,
      output: wrangler.output,
      heartbeats: deadMansSwitch.asked,
      tick: async () => {
        const answer = await fetch(`${url}/cdn-cgi/local/scheduled`);
        if (!answer.ok) throw new Error(`the cron trigger answered ${answer.status}: ${await answer.text()}`);
      },
      stop: async () => {
        await wrangler.stop();
        await cleanUp();
      },
    };
  } catch (error) {
    await cleanUp();
    throw error;
  }
}

/**
 * How to call wrangler: with our own Node (it refuses an older one), no look-ups, and nothing written outside
 * `directory`.
 * @param words its arguments
 */
export function wranglerCommand(directory: string, words: string[]) {
  const wrangler = join(dirname(createRequire(import.meta.url).resolve("wrangler/package.json")), "bin/wrangler.js");
  return {
    command: process.execPath,
    args: [wrangler, ...words],
    cwd: project,
    env: {
      CI: "1",
      CLOUDFLARE_CF_FETCH_ENABLED: "false",
      WRANGLER_SEND_METRICS: "false",
      XDG_CONFIG_HOME: directory,
    },
  };
}

async function startDeadMansSwitch() {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  return { port, asked, stop };
}

/** An Ed25519 key as a Worker's secret has it. */
async function newSigningKey(): Promise<string> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  if (!("privateKey" in pair)) throw new Error("no Ed25519 key pair was made");
  return Buffer.from(await crypto.subtle.exportKey("pkcs8", pair.privateKey)).toString("base64url");
}

function settings(input: { url: string; key: string; databaseUrl: string; heartbeatPort: number }): string {
  const lines = [
    `HOLDFAST_URL=${input.url}`,
    "HOLDFAST_WEBHOOK_PRIVATE=allow",
    `HOLDFAST_DATABASE_URL=${input.databaseUrl}`,
    `HOLDFAST_SIGNING_KEY=${input.key}`,
    `HOLDFAST_HEARTBEAT_URL=http://127.0.0.1:${input.heartbeatPort}/ping`,
  ];
  return `${lines.join("\n")}\n`;
}
