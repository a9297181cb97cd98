import { expect, test } from "vitest";
import * as z from "zod";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { testControl } from "../support/control.ts";
import { declare, declareRepository } from "./declared.ts";

const request = { user: "root", sourceDirectories: ["/srv/photos"] };
const repository = { name: "nas", provider: "restic", location: "/backup", passphrase: { generate: true } };
const channel = { name: "ops", kind: "webhook", url: "http://127.0.0.1/hook" };

type Case = [collection: string, wrong: object, path: (string | number)[], says: string];

test.each<Case>([
  ["contracts", { sources: [] }, [], 'unknown key "sources"'],
  ["contracts", { request: { ...request, sourceDirectory: "/srv" } }, ["request"], 'unknown key "sourceDirectory"'],
  ["contracts", { request: { ...request, user: 7 } }, ["request", "user"], "expected string"],
  ["contracts", { request: { user: "root" } }, ["request", "sourceDirectories"], "is required"],
  [
    "contracts",
    { request: { ...request, sourceDirectories: [] } },
    ["request", "sourceDirectories"],
    "at least one directory",
  ],
  [
    "contracts",
    { request: { ...request, sourceDirectories: ["/srv", "srv"] } },
    ["request", "sourceDirectories", 1],
    "absolute path",
  ],
  [
    "contracts",
    { request: { ...request, sourceDirectories: [""] } },
    ["request", "sourceDirectories", 0],
    "absolute path",
  ],
  [
    "contracts",
    { request: { ...request, sourceDirectories: ["/a/../b"] } },
    ["request", "sourceDirectories", 0],
    "'..'",
  ],
  [
    "contracts",
    { request: { ...request, excludePatterns: ["!keep"] } },
    ["request", "excludePatterns", 0],
    "must not begin with '!'",
  ],
  [
    "contracts",
    { request: { ...request, user: "nobody-here" } },
    ["request", "user"],
    'host "one" has no user "nobody-here"',
  ],
  ["contracts", { host: "two" }, ["host"], 'there is no host "two"'],
  ["contracts", { name: "Photos" }, ["name"], "must be 1 to 63 of a-z"],
  ["repositories", { location: "ftp://nas/backup" }, ["location"], "must be a restic location"],
  ["repositories", { location: "sftp:-oProxyCommand=id:/x" }, ["location"], "sftp"],
  ["repositories", { location: "rest:https://me:secret@nas/" }, ["location"], "put them into secrets"],
  ["repositories", { provider: "kopia" }, ["provider"], "must be restic or borg"],
  ["repositories", { provider: "borg", location: "rest:https://nas/" }, ["location"], "must be a borg location"],
  ["repositories", { provider: "borg", location: "ssh://nas/~/borg" }, ["location"], "absolute path"],
  ["repositories", { provider: "borg", location: "ssh://me:pw@nas/borg" }, ["location"], "no password"],
  ["repositories", { maintenance: { zone: "Mars/Olympus" } }, ["maintenance", "zone"], "IANA time zone"],
  ["repositories", { ssh: { hostKey: "ssh-dss AAAA" } }, ["ssh", "hostKey"], "TYPE BASE64"],
  ["contracts", { consistency: [{ sqlite: "db" }] }, ["consistency", 0, "sqlite"], "absolute path"],
  ["contracts", { consistency: [{ stop: "sshd" }] }, ["consistency", 0, "stop"], "with its ending"],
  ["contracts", { consistency: ["sqlite"] }, ["consistency", 0], "must be one of {sqlite: path}"],
  [
    "contracts",
    { kind: "databasebackup", request: { backupCmd: "pg_dump" } },
    ["request", "restoreCmd"],
    "is required",
  ],
  ["contracts", { kind: "tape" }, ["kind"], "files"],
  ["contracts", { request: { dataset: "root/x" } }, ["request", "dataset"], "where it is mounted in sourceDirectories"],
  ["repositories", { passphrase: "hunter2" }, ["passphrase"], 'must be {"file"'],
  ["repositories", { secrets: { LD_PRELOAD: { file: "/x" } } }, ["secrets"], 'unknown key "LD_PRELOAD"'],
  ["channels", { url: "file:///etc/passwd" }, ["url"], "http://"],
  ["channels", { events: ["run.started"] }, ["events", 0], "run.failed"],
  ["tokens", { scope: "root" }, ["scope"], "admin"],
  ["tokens", { expiresInSeconds: 0 }, ["expiresInSeconds"], ">=1"],
  ["enrollments", { uses: 0 }, ["uses"], ">=1"],
])("%s %j is rejected with the field and what to do, and nothing is stored", async (collection, wrong, path, says) => {
  const control = await testControl();
  await control.enrol("one");
  const good: Record<string, object> = {
    contracts: { host: "one", name: "photos", request },
    repositories: repository,
    channels: channel,
    tokens: { name: "cli", scope: "read" },
    enrollments: {},
  };
  const before = await control.admin.ask(page(z.unknown()), "GET", `/api/v1/${collection}`);
  const refused = await control.admin.refused("POST", `/api/v1/${collection}`, { ...good[collection], ...wrong });
  expect(refused).toMatchObject({ status: 400, code: "request.invalid" });
  expect(refused.issues).toContainEqual({ path, message: expect.stringContaining(says) });
  expect(await control.admin.ask(page(z.unknown()), "GET", `/api/v1/${collection}`)).toEqual(before);
  expect((await control.admin.send("POST", `/api/v1/${collection}`, good[collection])).status).toBe(201);
});

test.each<[wrong: object, path: (string | number)[], says: string]>([
  [{ contract: "photos" }, ["contract"], 'there is no contract "photos"'],
  [{ repository: "tape" }, ["repository"], 'there is no repository "tape"'],
  [
    { settings: { timerConfig: { OnCalendar: "daily at noon" } } },
    ["settings", "timerConfig", "OnCalendar"],
    "at position",
  ],
  [
    { settings: { timerConfig: { RandomizedDelaySec: "soon" } } },
    ["settings", "timerConfig", "RandomizedDelaySec"],
    "",
  ],
  [
    { settings: { timerConfig: { RandomizedDelaySec: "270000y" } } },
    ["settings", "timerConfig", "RandomizedDelaySec"],
    "10,000 years",
  ],
  [{ settings: { retention: { keep_daily: -2 } } }, ["settings", "retention", "keep_daily"], "-1 for all"],
  [{ settings: { runTimeLimit: "9".repeat(1_000) } }, ["settings", "runTimeLimit"], "<=256 characters"],
  [{ settings: { zone: "Mars/Olympus" } }, ["settings", "zone"], "must be an IANA time zone"],
  [{ settings: { retention: { keep_forever: 1 } } }, ["settings", "retention"], 'unknown key "keep_forever"'],
  [{ settings: { limitUploadKiBs: 0 } }, ["settings", "limitUploadKiBs"], ">=1"],
])(
  "a binding with %j is rejected with the field and what to do, when created and when changed",
  async (wrong, path, says) => {
    const control = await testControl();
    const host = await control.enrol("one");
    const { contract, binding } = await declare(control, host, "photos");
    const other = await declareRepository(control.admin, "nas");
    const made = { contract: contract.id, repository: other.id, name: "second", ...wrong };
    const refused = [await control.admin.refused("POST", "/api/v1/bindings", made)];
    if ("settings" in wrong)
      refused.push(await control.admin.refused("PATCH", `/api/v1/bindings/${binding.id}`, wrong));
    for (const { status, code, issues } of refused) {
      expect({ status, code }).toEqual({ status: 400, code: "request.invalid" });
      expect(issues).toContainEqual({ path, message: expect.stringContaining(says) });
    }
    expect((await control.admin.ask(page(Binding), "GET", "/api/v1/bindings")).items).toEqual([binding]);
  },
);

test("a contract of an agent without root must have the agent's user", async () => {
  const { admin, enrol } = await testControl();
  await enrol("small", { runsAs: "photos", users: [] });
  const body = (user: string) => ({ host: "small", name: user, request: { ...request, user } });
  const refused = await admin.refused("POST", "/api/v1/contracts", body("vaultwarden"));
  expect(refused).toMatchObject({
    status: 400,
    issues: [{ path: ["request", "user"], message: expect.stringContaining('"photos"') }],
  });
  expect((await admin.send("POST", "/api/v1/contracts", body("photos"))).status).toBe(201);
});

test("a second binding of the same contract to the same repository is refused", async () => {
  const control = await testControl();
  const { contract, repository, binding } = await declare(control, await control.enrol("one"), "photos");
  const again = { contract: contract.id, repository: repository.name, name: "again" };
  const refused = await control.admin.refused("POST", "/api/v1/bindings", again);
  expect(refused).toMatchObject({ status: 400, code: "bindings.already_bound", issues: [{ path: ["repository"] }] });
  expect(refused.message).toContain(binding.name);
});

test("a binding across hosts is rejected for a repository of one host, and accepted for others", async () => {
  const control = await testControl();
  const mine = await declare(control, await control.enrol("one"), "photos");
  const other = await declare(control, await control.enrol("two"), "videos");
  const generated = await control.admin.send("POST", "/api/v1/repositories", {
    ...repository,
    name: "cloud",
    location: "s3:s3.example/bucket",
  });
  expect(generated.status).toBe(201);
  const shared = await declareRepository(control.admin, "shared", "sftp:backup@nas:/srv");
  const bind = (contract: string, to: string) =>
    control.admin.send("POST", "/api/v1/bindings", { contract, repository: to });

  for (const name of ["cloud", "shared"]) expect((await bind(mine.contract.id, name)).status).toBe(201);
  for (const name of ["photos", "cloud"]) {
    const { status, body } = await bind(other.contract.id, name);
    expect({ status, body }).toMatchObject({
      status: 400,
      body: { error: { code: "request.invalid", issues: [{ path: ["repository"] }] } },
    });
    expect(JSON.stringify(body)).toContain("one");
  }
  expect((await bind(other.contract.id, shared.id)).status).toBe(201);
});

test("a repository stays its first host's after that binding is deleted, because its passphrase is there", async () => {
  const control = await testControl();
  const { binding } = await declare(control, await control.enrol("one"), "photos");
  const other = await declare(control, await control.enrol("two"), "videos");
  await control.admin.send("DELETE", `/api/v1/bindings/${binding.id}`);
  const across = { contract: other.contract.id, repository: "photos" };
  expect(await control.admin.refused("POST", "/api/v1/bindings", across)).toMatchObject({
    status: 400,
    issues: [{ path: ["repository"] }],
  });
});

test("a local repository has one user, when bound and when changed", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const photos = await declare(control, host, "photos", "photos");
  const vault = await declare(control, host, "vault", "vaultwarden");
  const across = { contract: vault.contract.id, repository: "photos" };
  expect(await control.admin.refused("POST", "/api/v1/bindings", across)).toMatchObject({
    status: 400,
    issues: [{ path: ["repository"], message: expect.stringContaining('"vaultwarden"') }],
  });
  const change = (user: string) => ({ request: { ...photos.contract.request, user } });
  await control.admin.send("PATCH", `/api/v1/contracts/${vault.contract.id}`, change("photos"));
  expect((await control.admin.send("POST", "/api/v1/bindings", across)).status).toBe(201);
  const refused = await control.admin.refused("PATCH", `/api/v1/contracts/${vault.contract.id}`, change("root"));
  expect(refused).toMatchObject({ status: 400, issues: [{ path: ["request", "user"] }] });
});

test("a binding never changes its contract", async () => {
  const control = await testControl();
  const { binding, contract } = await declare(control, await control.enrol("one"), "photos");
  for (const change of [{ contract: contract.id }, { request: { user: "photos" } }]) {
    const refused = await control.admin.refused("PATCH", `/api/v1/bindings/${binding.id}`, change);
    expect(refused).toMatchObject({
      status: 400,
      code: "bindings.contract_read_only",
      issues: [{ path: Object.keys(change) }],
    });
  }
  expect(await control.admin.refused("PATCH", `/api/v1/bindings/${binding.id}`, { repository: "x" })).toMatchObject({
    status: 400,
  });
  expect(await control.admin.refused("PATCH", `/api/v1/bindings/${binding.id}`, {})).toMatchObject({ status: 400 });
});

test("names are unique, and the second one is rejected", async () => {
  const control = await testControl();
  const one = await declare(control, await control.enrol("one"), "photos");
  const two = await declare(control, await control.enrol("two"), "videos");
  await control.admin.send("POST", "/api/v1/channels", channel);
  const taken = async (method: string, path: string, body: object) =>
    (await control.admin.refused(method, path, body)).code;
  expect(await taken("POST", "/api/v1/contracts", { host: "one", name: "photos", request })).toBe(
    "contracts.name_taken",
  );
  expect(await taken("POST", "/api/v1/repositories", { ...repository, name: "photos" })).toBe(
    "repositories.name_taken",
  );
  expect(await taken("PATCH", `/api/v1/repositories/${two.repository.id}`, { name: "photos" })).toBe(
    "repositories.name_taken",
  );
  expect(await taken("POST", "/api/v1/channels", channel)).toBe("channels.name_taken");
  expect(await taken("PATCH", `/api/v1/hosts/${two.contract.host}`, { name: "one" })).toBe("hosts.name_taken");
  await declareRepository(control.admin, "nas");
  const second = { contract: one.contract.id, repository: "nas", name: "photos" };
  expect(await taken("POST", "/api/v1/bindings", second)).toBe("bindings.name_taken");
  // On another host a contract's name is free.
  expect((await control.admin.send("POST", "/api/v1/contracts", { host: "two", name: "photos", request })).status).toBe(
    201,
  );
});

test("invalid bodies and queries are rejected", async () => {
  const { admin } = await testControl();
  const path = "/api/v1/tokens";
  expect(await admin.refused("POST", path, "{")).toMatchObject({
    status: 400,
    message: expect.stringContaining("not JSON"),
  });
  expect(await admin.refused("POST", path, "[]")).toMatchObject({ status: 400, code: "request.invalid" });
  const form = await admin.send("POST", path, "name=x", { "content-type": "application/x-www-form-urlencoded" });
  expect(form).toMatchObject({
    status: 400,
    body: { error: { message: expect.stringContaining("application/json") } },
  });
  for (const query of ["limit=0", "limit=501", "limit=many", "cursor=x", "colour=red"]) {
    expect({ query, ...(await admin.refused("GET", `${path}?${query}`)) }).toMatchObject({
      query,
      status: 400,
      code: "request.invalid",
    });
  }
  expect(await admin.refused("POST", path, JSON.stringify({ name: "x".repeat(1024 * 1024) }))).toMatchObject({
    status: 413,
    code: "request.too_large",
  });
  expect(await admin.refused("POST", "/api/v1/bindings/x/run", { now: true })).toMatchObject({ status: 400 });
});

test("an internal error is logged, and not exposed", async () => {
  const control = await testControl();
  const logged: unknown[] = [];
  control.deps.log.error = (...all) => void logged.push(all);
  await control.deps.db.run("drop table channels");
  expect(await control.admin.send("GET", "/api/v1/channels")).toMatchObject({
    status: 500,
    body: { error: { code: "internal", message: "internal error; the control plane's log has the details" } },
  });
  expect(JSON.stringify(logged)).toContain("no such table");
  await control.admin.send("POST", "/api/v1/channels", { ...channel, url: "http://127.0.0.1/hunter2" });
  expect(logged).toHaveLength(2);
  expect(JSON.stringify(logged)).not.toMatch(/hunter2|whsec_/);
});

test("a database that can't be written has its own error code, and works again once it can", async () => {
  const control = await testControl();
  control.deps.log.error = () => undefined;
  await control.deps.db.run("pragma query_only = on");
  expect(await control.admin.refused("POST", "/api/v1/channels", channel)).toMatchObject({
    status: 503,
    code: "database.unavailable",
    message: expect.stringContaining("read-only: nothing was changed"),
  });
  // A connection on which that happened is not used again.
  expect(await control.admin.send("POST", "/api/v1/channels", channel)).toMatchObject({ status: 201 });
});
