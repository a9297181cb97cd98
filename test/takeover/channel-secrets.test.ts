import { eq, sql } from "drizzle-orm";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { channels } from "../../control/db/schema/notifications.ts";
import { marks } from "../../control/db/schema/service.ts";
import { createToken } from "../../control/domain/service/tokens.ts";
import { dispatch } from "../../control/notify/dispatch.ts";
import { openTarget } from "../../control/keys/channel-secrets.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { lineLog } from "../../control/runtime/node/log.ts";
import { startControl } from "../../control/runtime/node/server.ts";
import { remakeRows } from "../../control/domain/service/row-protection.ts";
import { ChannelTarget, SECRET_FIELDS } from "../../shared/channel.ts";
import { newSigningKey, testControl } from "../support/control.ts";
import { openClient } from "../support/client.ts";

// Who has the control plane's database, its copies and its log finds no channel's secret in them.

const CANARY = "canary";
const hook = Buffer.from(`${CANARY}-webhook-0123456789`).toString("base64");
/** One channel of each kind, a canary in every secret field. */
const CHANNELS: readonly ({ name: string; kind: string; secret?: string } & Record<string, unknown>)[] = [
  { name: "webhook", kind: "webhook", url: "http://127.0.0.1:9/", secret: `whsec_${hook}` },
  { name: "ntfy", kind: "ntfy", url: "http://127.0.0.1:9/", topic: "t", token: `${CANARY}-ntfy` },
  { name: "gotify", kind: "gotify", url: "http://127.0.0.1:9/", token: `${CANARY}-gotify` },
  { name: "discord", kind: "discord", url: `http://127.0.0.1:9/${CANARY}-discord` },
  { name: "slack", kind: "slack", url: `http://127.0.0.1:9/${CANARY}-slack` },
  { name: "telegram", kind: "telegram", url: "http://127.0.0.1:9", token: `${CANARY}-telegram`, chat: "1" },
  { name: "matrix", kind: "matrix", url: "http://127.0.0.1:9/", room: "!a:b", token: `${CANARY}-matrix` },
  { name: "pushover", kind: "pushover", url: "http://127.0.0.1:9", token: `${CANARY}-app`, user: `${CANARY}-user` },
  {
    name: "email",
    kind: "email",
    server: "127.0.0.1",
    port: 9,
    from: "a@b.example",
    to: ["c@d.example"],
    username: "me",
    password: `${CANARY}-mail`,
  },
];
const NEEDLES = [CANARY, hook.slice(0, 20)];

/** A control plane on Node, its data directory, and what it logged. */
async function onDisk(dataDir?: string) {
  const directory = dataDir ?? (await mkdtemp(join(tmpdir(), "holdfast-canary-")));
  if (dataDir === undefined) onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const lines: string[] = [];
  const config = readConfig({ HOLDFAST_DATA: directory, HOLDFAST_PORT: "0" });
  const control = await startControl(config, { log: lineLog((line) => lines.push(line)) });
  return { directory, lines, control };
}

/** The files in the directory that have one of the canaries anywhere in their bytes. */
async function filesWithCanaries(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(directory)) {
    const file = join(directory, name);
    if (!(await stat(file)).isFile()) continue;
    const bytes = await readFile(file);
    if (NEEDLES.some((needle) => bytes.includes(needle))) found.push(name);
  }
  return found;
}

test("every kind of channel has its secrets as ciphertext in the database, its log and its copy", async () => {
  const { directory, lines, control } = await onDisk();
  const { token } = await createToken(control.deps, { name: "test", scope: "admin", expiresInSeconds: null });
  const client = openClient(control.url, () => token);
  for (const channel of CHANNELS) {
    const made = await client.send("POST", "/api/v1/channels", channel);
    expect(made.status).toBe(201);
    const { id } = made.body as { id: string };
    expect((await client.send("PATCH", `/api/v1/channels/${id}`, { labels: ["a"] })).status).toBe(200);
    expect((await client.send("POST", `/api/v1/channels/${id}/test`)).status).toBe(202);
    if (channel.kind === "webhook")
      expect((await client.send("POST", `/api/v1/channels/${id}/rotate`, { secret: channel.secret })).status).toBe(200);
    if (channel.name === "slack") expect((await client.send("DELETE", `/api/v1/channels/${id}`)).status).toBe(204);
  }
  await dispatch(control.deps);
  // All of it still opens.
  const rows = await control.deps.db.select().from(channels);
  for (const row of rows) {
    const {
      name: _name,
      secret: _secret,
      ...target
    } = { secret: null, ...CHANNELS.find(({ kind }) => kind === row.kind) };
    expect(await openTarget(control.deps, row)).toEqual(ChannelTarget.parse(target));
  }
  expect(new Set(CHANNELS.map(({ kind }) => kind))).toEqual(new Set(Object.keys(SECRET_FIELDS)));

  const copy = join(directory, "copy");
  const main = join(import.meta.dirname, "../../control/cli/main.ts");
  await promisify(execFile)(process.execPath, [main, "copy-database", join(directory, "control.db"), copy]);
  expect(await filesWithCanaries(directory)).toEqual([]);
  await control.close();
  expect(await filesWithCanaries(directory)).toEqual([]);
  for (const needle of NEEDLES) expect(lines.join("")).not.toContain(needle);
});

test("the upgrade seals what version 0.2 has in clear, and leaves nothing of it in the file; it happens once", async () => {
  const first = await onDisk();
  const { db } = first.control.deps;
  const at = "2026-11-23T08:00:00.000Z";
  const insert = async (id: string) => {
    const target = JSON.stringify({ kind: "gotify", url: "http://127.0.0.1:9/", token: `${CANARY}-${id}` });
    await db.run(sql`insert into channels (id, name, kind, target, secret, enabled, "createdAt", "changedAt")
      values (${id}, ${id}, 'gotify', ${target}, ${`whsec_${hook}`}, 1, ${at}, ${at})`);
  };
  await insert("one");
  await db.delete(marks);
  await first.control.close();
  expect(await filesWithCanaries(first.directory)).not.toEqual([]);
  await rm(join(first.directory, "rows.protected"));

  const second = await onDisk(first.directory);
  const [row] = await second.control.deps.db.select().from(channels);
  expect(row && (await openTarget(second.control.deps, row))).toMatchObject({ token: `${CANARY}-one` });
  expect(await filesWithCanaries(first.directory)).toEqual([]);
  expect(await readdir(first.directory)).toContain("rows.protected");
  await second.control.deps.db.delete(marks);
  await second.control.deps.db.run(sql`update tokens set mac = null`);
  await second.control.close();

  // Whoever can write the database can't have it done again.
  const third = await onDisk(first.directory);
  expect(await third.control.deps.db.$count(channels)).toBe(1);
  expect(third.lines.join("")).toContain("lost its mark");
  await third.control.close();
});

test("a token is not sent to where somebody else pointed its channel, nor through another host", async () => {
  const control = await testControl({ onError: () => undefined });
  const { db } = control.deps;
  const sent: string[] = [];
  const deps = {
    ...control.deps,
    post: async (request: { url: string }) => {
      sent.push(request.url);
      return { status: 204 };
    },
  };
  const { body } = await control.admin.send("POST", "/api/v1/channels", CHANNELS[2]);
  const { id } = body as { id: string };
  const attempt = async () => {
    await control.admin.send("POST", `/api/v1/channels/${id}/test`);
    await dispatch(deps);
  };
  await attempt();
  expect(sent).toHaveLength(1);
  const [row] = await db.select().from(channels);
  await db.update(channels).set({ target: sql`json_replace(target, '$.url', 'http://evil.test/')` });
  await attempt();
  expect(sent).toHaveLength(1);
  expect(await control.admin.refused("PATCH", `/api/v1/channels/${id}`, { name: "x" })).toMatchObject({
    code: "database.tampered",
  });
  const thief = await control.enrol("thief");
  await db
    .update(channels)
    .set({ ...row, via: thief.id })
    .where(eq(channels.id, id));
  await attempt();
  expect((await thief.send("GET", "/agent/v1/deliveries")).body).toEqual({ deliveries: [] });
});

test("a new signing key seals the channels again", async () => {
  const control = await testControl({ onError: () => undefined });
  const { db, signingKey: from } = control.deps;
  for (const channel of CHANNELS.slice(0, 3)) await control.admin.send("POST", "/api/v1/channels", channel);
  const to = await newSigningKey();
  await remakeRows(control.deps, { from, to });
  expect((await remakeRows(control.deps, { from, to })).remade).toBe(0);
  for (const row of await db.select().from(channels)) {
    expect((await openTarget({ signingKey: to }, row)).kind).toBe(row.kind);
    await expect(openTarget({ signingKey: from }, row)).rejects.toThrow(/not written by/);
  }
});
