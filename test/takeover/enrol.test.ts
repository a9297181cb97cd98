import { readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type * as z from "zod";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { agentPaths } from "../../agent/config.ts";
import { readGrants } from "../../agent/policy/grants.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import type { RunningControl } from "../../control/runtime/node/server.ts";
import { startControl } from "../../control/runtime/node/server.ts";
import { createEnrollment } from "../../control/domain/hosts/enrollments.ts";
import { createRepository } from "../../control/domain/contracts/repositories.ts";
import { CreateEnrollment } from "../../shared/host.ts";
import { CreateRepository } from "../../shared/repository.ts";
import { pasteLine } from "../support/pasted.ts";

// Attack 11: somebody on the way between a new machine and the control plane (plain http), and somebody with an account
// on the new machine, while the line of installation runs there.

let directory: string;
let control: RunningControl;
/** Stands between: what it does with a request before it passes it on, and with the answer. */
let between: { onRequest: (path: string) => void; alter: (path: string, body: Buffer) => Buffer };
let server: Server;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-enrol-"));
  server = createServer((incoming, outgoing) => {
    const path = incoming.url ?? "";
    between.onRequest(path);
    const { port } = new URL(control.localUrl);
    const passed = request(
      { port, path, method: incoming.method, headers: { ...incoming.headers, connection: "close" } },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("end", () => {
          const body = between.alter(path, Buffer.concat(chunks));
          outgoing.writeHead(answer.statusCode ?? 502, { ...answer.headers, "content-length": String(body.length) });
          outgoing.end(body);
        });
      },
    );
    incoming.pipe(passed);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  control = await startControl(
    readConfig({ HOLDFAST_DATA: join(directory, "control"), HOLDFAST_PORT: "0", HOLDFAST_URL: url }),
  );
});

beforeEach(async () => {
  between = { onRequest: () => undefined, alter: (_path, body) => body };
  await rm(join(directory, "host"), { recursive: true, force: true });
  await mkdir(join(directory, "host"));
});

afterAll(async () => {
  server?.close();
  await control?.close();
  await rm(directory, { recursive: true, force: true });
});

test("while the line runs, its token stands in no process's arguments or environment, and then in no file", async () => {
  const usb = { name: "usb", provider: "restic", location: "/mnt/usb", passphrase: { generate: true } };
  await createRepository(control.deps, CreateRepository.parse(usb));
  const { command, token } = await newLine({ level: "ask", repositories: ["usb"] });
  const secret = token.split(".")[1] ?? "";
  const asked: string[] = [];
  const shown: string[] = [];
  between.onRequest = (path) => {
    asked.push(path);
    shown.push(...processesThatShow(secret));
  };
  const { code, said } = await paste(command);
  expect(said).toContain("this machine is now host");
  expect(code).toBe(0);
  expect(shown).toEqual([]);
  // It was looked for at each step, also while the agent itself had the token.
  expect(asked).toEqual(
    expect.arrayContaining(["/install.sh", "/install/SHA256SUMS", expect.stringContaining(".gz."), "/agent/v1/enroll"]),
  );
  expect(await filesThatHold(join(directory, "host"), secret)).toEqual([]);
  // What root granted with it is said, and what is there already stays.
  expect(said).toContain(
    "grants repository usb: Keep backups with restic at /mnt/usb, under a passphrase made on this host.\n",
  );
  const policy = await readFile(join(directory, "host/etc/holdfast/policy.json"), "utf8");
  expect(JSON.parse(policy)).toEqual({ level: "ask", keep: { snapshots: 3, days: 7 } });
  expect(await readGrants(agentPaths(join(directory, "host")))).toMatchObject([
    { kind: "repository", by: "installation" },
  ]);
  const again = await paste((await newLine({ level: "open", repositories: ["usb"] })).command);
  expect(again).toMatchObject({ code: 0, said: expect.stringContaining("stays as it is: its level is ask\n") });
  expect(again.said).toContain("nothing was granted, since it is enrolled already");
  expect(await readFile(join(directory, "host/etc/holdfast/policy.json"), "utf8")).toBe(policy);
});

test("pasted with its leading space it is not in bash's history", async () => {
  const { command, token } = await newLine();
  const history = join(directory, "history");
  const bash: [string, ...string[]] = ["bash", "--norc", "-i"];
  // It is about the shell: the line may fail.
  between.alter = () => Buffer.from("exit 1");
  const environment = { HISTFILE: history, HISTCONTROL: "ignoreboth" };
  await paste(`echo kept\n${command}`, environment, bash);
  const kept = await readFile(history, "utf8");
  expect(kept).toContain("echo kept");
  expect(kept).not.toContain(token.split(".")[1]);
});

test.each([
  [
    "other lines",
    (script: Buffer) => Buffer.from(script.toString().replace("set -eu", `touch '${marker()}'; set -eu`)),
  ],
  ["a line more", (script: Buffer) => Buffer.concat([script, Buffer.from(`\ntouch '${marker()}'\n`)])],
  ["an end too early", (script: Buffer) => script.subarray(0, -1)],
  ["another script", () => Buffer.from(`touch '${marker()}'`)],
  ["nothing", () => Buffer.alloc(0)],
])("an install.sh with %s, served on the way, is not run", async (_what, change) => {
  const { command } = await newLine();
  const asked: string[] = [];
  between.onRequest = (path) => void asked.push(path);
  between.alter = (path, body) => (path === "/install.sh" ? change(body) : body);
  const { code, said } = await paste(command);
  expect(said).toContain("install.sh is not the one this line was made for: nothing was run");
  expect(code).toBe(1);
  expect(asked).toEqual(["/install.sh"]);
  expect(await readdir(join(directory, "host"))).toEqual([]);
});

test("a part of the agent that was changed on the way is not even unpacked", async () => {
  const { command } = await newLine();
  between.alter = (path, body) => (path.endsWith(".gz.00") ? Buffer.concat([body, Buffer.from("!")]) : body);
  const { code, said } = await paste(command);
  expect(said).toContain("is not the file its sum was made of, so nothing was installed");
  expect(code).toBe(1);
  expect(await readdir(join(directory, "host"))).toEqual([]);
});

const marker = (): string => join(directory, "host/was-run");

async function newLine(wanted: z.input<typeof CreateEnrollment> = {}): Promise<{ command: string; token: string }> {
  return await createEnrollment(control.deps, CreateEnrollment.parse(wanted));
}

function paste(line: string, environment: Record<string, string> = {}, shell?: [string, ...string[]]) {
  const host = join(directory, "host");
  return pasteLine(line, { HOLDFAST_AGENT_ROOT: host, TMPDIR: host, ...environment }, shell);
}

/** What anybody (arguments), or anybody of the same user (environment), reads of all processes. */
function processesThatShow(secret: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => ["cmdline", "environ"].map((what) => `/proc/${pid}/${what}`))
    .filter((path) => readIfThere(path).includes(secret));
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // It has ended, or is not ours to read.
    return "";
  }
}

async function filesThatHold(root: string, text: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return files.filter((path) => readFileSync(path).includes(text));
}
