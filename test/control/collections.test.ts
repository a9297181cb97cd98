import { expect, test } from "vitest";
import * as z from "zod";
import { bindings } from "../../control/db/schema/contracts.ts";
import { assignedBinding } from "../../control/domain/contracts/assignments.ts";
import { page, Token, TokenCreated } from "../../shared/api.ts";
import { Binding, DEFAULT_RETENTION } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { Channel, ChannelCreated } from "../../shared/channel.ts";
import { Delivery } from "../../shared/event.ts";
import { Host } from "../../shared/host.ts";
import { Repository } from "../../shared/repository.ts";
import { Run } from "../../shared/run.ts";
import { DATABASES, FACTS, testControl, type TestControl } from "../support/control.ts";
import { declare, declareRepository } from "./declared.ts";

async function idsOf(control: TestControl, path: string): Promise<string[]> {
  const { items } = await control.admin.ask(page(z.object({ id: z.string() })), "GET", path);
  return items.map((item) => item.id);
}

test("pages are newest first and end, whatever is added meanwhile", async () => {
  const control = await testControl();
  const make = (name: string) => control.admin.ask(TokenCreated, "POST", "/api/v1/tokens", { name, scope: "read" });
  const [own] = await idsOf(control, "/api/v1/tokens");
  const made = [];
  for (const name of ["a", "b", "c", "d"]) made.push((await make(name)).id);
  const first = await control.admin.ask(page(Token), "GET", "/api/v1/tokens?limit=2");
  expect(first.items.map((token) => token.name)).toEqual(["d", "c"]);
  await make("e");
  const second = await control.admin.ask(page(Token), "GET", `/api/v1/tokens?limit=2&cursor=${first.next}`);
  expect(second.items.map((token) => token.name)).toEqual(["b", "a"]);
  const last = await control.admin.ask(page(Token), "GET", `/api/v1/tokens?limit=2&cursor=${second.next}`);
  expect({ ids: last.items.map((token) => token.id), next: last.next }).toEqual({ ids: [own], next: null });
});

test("lists are filtered by field", async () => {
  const control = await testControl();
  const [one, two] = [await control.enrol("one"), await control.enrol("two")];
  const photos = await declare(control, one, "photos");
  const videos = await declare(control, two, "videos");
  const shared = await declareRepository(control.admin, "shared", "s3:s3.example/bucket");
  const second = await control.admin.ask(Binding, "POST", "/api/v1/bindings", {
    contract: photos.contract.id,
    repository: shared.id,
  });
  const run = await control.admin.ask(Run, "POST", `/api/v1/bindings/${photos.binding.id}/run`);
  const filtered: [string, string[]][] = [
    ["hosts?name=two", [two.id]],
    [`contracts?host=${one.id}`, [photos.contract.id]],
    ["contracts?name=videos", [videos.contract.id]],
    ["repositories?name=shared", [shared.id]],
    [`bindings?host=${two.id}`, [videos.binding.id]],
    [`bindings?contract=${photos.contract.id}`, [second.id, photos.binding.id]],
    [`bindings?repository=${shared.id}`, [second.id]],
    [`bindings?contract=${photos.contract.id}&repository=${shared.id}`, [second.id]],
    [`runs?binding=${photos.binding.id}`, [run.id]],
    [`runs?host=${two.id}`, []],
    ["runs?state=queued&kind=backup", [run.id]],
    ["runs?kind=restore", []],
  ];
  for (const [path, ids] of filtered)
    expect({ path, ids: await idsOf(control, `/api/v1/${path}`) }).toEqual({ path, ids });
});

test("omitted fields have defaults, and a binding is named after contract and repository", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { contract } = await declare(control, host, "photos");
  await declareRepository(control.admin, "nas");
  const binding = await control.admin.ask(Binding, "POST", "/api/v1/bindings", {
    contract: contract.id,
    repository: "nas",
  });
  expect(contract.request).toEqual({
    user: "root",
    sourceDirectories: ["/srv/photos"],
    excludePatterns: [],
    hooks: { beforeBackup: [], afterBackup: [] },
  });
  expect(binding).toMatchObject({
    name: "photos-nas",
    host: host.id,
    paused: false,
    health: "unprotected",
    lastSuccessAt: null,
  });
  expect(binding.settings).toMatchObject({
    enable: true,
    retention: DEFAULT_RETENTION,
    timerConfig: { OnCalendar: "daily" },
  });
});

test("a binding shows its next run, in the host's zone with its own delay; none while paused or not enabled", async () => {
  const control = await testControl();
  const host = await control.enrol("one", { zone: "Asia/Tokyo" });
  const { binding } = await declare(control, host, "photos");
  const path = `/api/v1/bindings/${binding.id}`;
  const settings = { timerConfig: { OnCalendar: "*-*-* 03:00:00", RandomizedDelaySec: "0" } };
  const change = (body: object) => control.admin.ask(Binding, "PATCH", path, body);
  expect(await change({ settings })).toMatchObject({ nextRunAt: "2026-11-23T18:00:00.000Z" });
  expect(await change({ settings: { zone: "UTC" } })).toMatchObject({
    nextRunAt: "2026-11-24T03:00:00.000Z",
    settings,
  });
  const delayed = await change({ settings: { timerConfig: { RandomizedDelaySec: "1h" } } });
  const delay = Date.parse(delayed.nextRunAt ?? "") - Date.parse("2026-11-24T03:00:00.000Z");
  expect(delay).toBeGreaterThan(0);
  expect(delay).toBeLessThan(3_600_000);
  expect(await control.admin.ask(Binding, "POST", `${path}/pause`)).toMatchObject({
    nextRunAt: null,
    paused: true,
    health: "paused",
  });
  expect(await control.admin.ask(Binding, "POST", `${path}/resume`)).toMatchObject({
    nextRunAt: delayed.nextRunAt,
    paused: false,
  });
  expect(await change({ settings: { enable: false } })).toMatchObject({ nextRunAt: null, health: "unprotected" });
});

test("a binding shows the script and unit on its host, by its name", async () => {
  const control = await testControl();
  const { binding } = await declare(control, await control.enrol("one"), "photos");
  expect(binding.result).toEqual({
    restoreScript: "holdfast-backups-photos",
    backupService: "holdfast-backup@photos.service",
  });
  const path = `/api/v1/bindings/${binding.id}`;
  await control.admin.ask(Binding, "PATCH", path, { name: "pictures" });
  expect((await control.admin.ask(Binding, "GET", path)).result.restoreScript).toBe("holdfast-backups-pictures");
});

test("each object can be read and changed, and an unknown id is not found", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { contract, repository, binding } = await declare(control, host, "photos");
  const channel = await control.admin.ask(ChannelCreated, "POST", "/api/v1/channels", {
    name: "ops",
    kind: "webhook",
    url: "http://127.0.0.1/hook",
  });
  const changes: [string, z.ZodType<{ id: string }>, object][] = [
    [`hosts/${host.id}`, Host, { name: "uno" }],
    [`contracts/${contract.id}`, Contract, { name: "pictures" }],
    [`repositories/${repository.id}`, Repository, { secrets: { AWS_ACCESS_KEY_ID: { file: "/etc/key" } } }],
    [`bindings/${binding.id}`, Binding, { settings: { limitUploadKiBs: 100 } }],
    [`channels/${channel.id}`, Channel, { enabled: false, events: ["run.failed"] }],
  ];
  control.pass(1000);
  for (const [path, schema, change] of changes) {
    const changed = await control.admin.ask(schema, "PATCH", `/api/v1/${path}`, change);
    expect(changed).toMatchObject(change);
    expect(await control.admin.ask(schema, "GET", `/api/v1/${path}`)).toEqual(changed);
  }
  for (const noun of [
    "hosts",
    "contracts",
    "repositories",
    "bindings",
    "runs",
    "snapshots",
    "channels",
    "deliveries",
    "tokens",
    "enrollments",
  ]) {
    for (const id of ["01936f0e-0000-7000-8000-000000000000", "nothing"]) {
      expect(await control.admin.refused("GET", `/api/v1/${noun}/${id}`)).toMatchObject({
        status: 404,
        code: `${noun}.not_found`,
      });
    }
  }
});

test.each(DATABASES)("concurrent changes of one binding are all applied (%s)", async (database) => {
  const control = await testControl({ database });
  const { binding } = await declare(control, await control.enrol("one"), "photos");
  const path = `/api/v1/bindings/${binding.id}`;
  const changes = [{ limitUploadKiBs: 1 }, { limitDownloadKiBs: 2 }, { enable: false }];
  await Promise.all(changes.map((settings) => control.admin.ask(Binding, "PATCH", path, { settings })));
  const { settings } = await control.admin.ask(Binding, "GET", path);
  expect(settings).toMatchObject({ limitUploadKiBs: 1, limitDownloadKiBs: 2, enable: false });
});

test("secrets for hooks are set and taken away, and an agent gets the key only while it has some", async () => {
  const control = await testControl();
  const { binding } = await declare(control, await control.enrol("one"), "photos");
  const path = `/api/v1/bindings/${binding.id}`;
  const environment = { TOKEN: { file: "/etc/holdfast/secrets/token" } };
  const set = await control.admin.ask(Binding, "PATCH", path, { settings: { environment } });
  expect(set.settings.environment).toEqual(environment);
  const refused = await control.admin.refused("PATCH", path, {
    settings: { environment: { LD_PRELOAD: environment.TOKEN } },
  });
  expect(JSON.stringify(refused)).toContain("LD_PRELOAD changes how programs run");
  const repository = { name: "nas", provider: "borg", location: "/srv/x", passphrase: { generate: true } };
  const ssh = await control.admin.refused("POST", "/api/v1/repositories", {
    ...repository,
    secrets: { BORG_RSH: environment.TOKEN },
  });
  expect(ssh.message).toContain("ssh.identityFile and ssh.hostKey");
  const sent = async () => {
    const rows = await control.deps.db.select().from(bindings);
    return rows.map((row) => assignedBinding(row).settings);
  };
  expect(await sent()).toMatchObject([{ environment }]);
  await control.admin.ask(Binding, "PATCH", path, { settings: { environment: {} } });
  expect((await sent()).map((settings) => "environment" in settings)).toEqual([false]);
});

test("a channel is tested and its delivery retried; its secret is shown once; deleted, its waiting deliveries fail", async () => {
  const control = await testControl();
  const { secret = "", ...channel } = await control.admin.ask(ChannelCreated, "POST", "/api/v1/channels", {
    name: "ops",
    kind: "webhook",
    url: "http://127.0.0.1/hook",
    events: ["run.failed"],
  });
  expect(Buffer.from(secret.replace("whsec_", ""), "base64")).toHaveLength(32);
  expect(await control.admin.ask(Channel, "GET", `/api/v1/channels/${channel.id}`)).toEqual(channel);
  const delivery = await control.admin.ask(Delivery, "POST", `/api/v1/channels/${channel.id}/test`);
  expect(delivery).toMatchObject({ channel: channel.id, type: "channel.test", state: "pending", attempts: 0 });
  expect(delivery.payload.data).toEqual({ channel: { id: channel.id, name: "ops" } });
  expect(await control.admin.ask(Delivery, "POST", `/api/v1/deliveries/${delivery.id}/retry`)).toEqual(delivery);
  expect(control.wakes()).toBe(2);
  expect(await idsOf(control, `/api/v1/deliveries?channel=${channel.id}&state=pending`)).toEqual([delivery.id]);
  await control.admin.send("DELETE", `/api/v1/channels/${channel.id}`);
  const failed = await control.admin.ask(Delivery, "GET", `/api/v1/deliveries/${delivery.id}`);
  expect(failed).toMatchObject({ state: "failed", nextAttemptAt: null, lastError: "the channel was deleted" });
});

test("a host's facts are stored as reported", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  control.pass(60_000);
  expect((await host.send("PUT", "/agent/v1/facts", { ...FACTS, users: ["root"] })).status).toBe(204);
  expect(await control.admin.ask(Host, "GET", `/api/v1/hosts/${host.id}`)).toMatchObject({
    facts: { ...FACTS, users: ["root"] },
    lastSeenAt: "2026-11-23T08:01:00.000Z",
    online: false,
    revision: 0,
  });
});

test("the OpenAPI document describes every route of the API and of agents", async () => {
  const control = await testControl();
  const Document = z.object({
    openapi: z.literal("3.1.0"),
    paths: z.record(z.string(), z.record(z.string(), z.unknown())),
    components: z.object({ schemas: z.record(z.string(), z.unknown()) }),
  });
  const document = await control.admin.ask(Document, "GET", "/api/v1/openapi.json");
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const routes = control.app.routes
    .filter(({ method, path }) => method !== "ALL" && /^\/(api|agent)\//.test(path) && !/openapi|socket/.test(path))
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`);
  expect(new Set(described)).toEqual(new Set(routes));
  const text = JSON.stringify(document);
  const words = [
    "OnCalendar",
    "sourceDirectories",
    "keep_within",
    "contracts.not_found",
    "requestBody",
    "#/components/schemas/Error",
  ];
  expect(words.filter((word) => !text.includes(word))).toEqual([]);
  const refs = new Set([...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name));
  expect([...refs].filter((name) => !((name ?? "") in document.components.schemas))).toEqual([]);
});
