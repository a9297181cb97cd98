import { expect, test } from "vitest";
import { page } from "../../shared/api.ts";
import { CatalogEntry, CatalogPage, Probes, Proposal, SignedProbes } from "../../shared/catalog.ts";
import { Contract } from "../../shared/contract.ts";
import { testControl, type TestControl, type TestHost } from "../support/control.ts";

const USERS = { users: ["root", "vaultwarden", "radarr"] };

function create(control: TestControl, body: object) {
  return control.admin.ask(Contract, "POST", "/api/v1/contracts", { host: "nas", ...body });
}

async function refusal(control: TestControl, body: object) {
  const { status, code, issues } = await control.admin.refused("POST", "/api/v1/contracts", { host: "nas", ...body });
  return { status, code, issues: (issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`) };
}

test("the catalogue is listed by pages and read by name", async () => {
  const { admin } = await testControl();
  const first = await admin.ask(CatalogPage, "GET", "/api/v1/catalog?limit=20");
  const rest = await admin.ask(CatalogPage, "GET", `/api/v1/catalog?cursor=${first.next}`);
  expect([first.items.length, rest.items.length, rest.next]).toEqual([20, 6, null]);
  const entry = await admin.ask(CatalogEntry, "GET", "/api/v1/catalog/vaultwarden");
  expect(first.items.concat(rest.items)).toContainEqual(entry);
  const docker = entry.layouts.find(({ layout }) => layout === "docker");
  expect(docker?.contract).toMatchObject({ request: { user: "root", sourceDirectories: ["${data}"] } });
  expect(docker?.params.find(({ name }) => name === "data")).toMatchObject({ kind: "path", default: null });
  expect(await admin.refused("GET", "/api/v1/catalog/nothing")).toMatchObject({
    status: 404,
    code: "catalog.not_found",
  });
});

test("a contract is created from an entry, a layout and parameters", async () => {
  const control = await testControl();
  await control.enrol("nas", USERS);
  const params = { data: "/srv/vault/" };
  expect(await create(control, { fromCatalog: "vaultwarden", layout: "docker", params })).toMatchObject({
    name: "vaultwarden",
    kind: "files",
    declared: false,
    request: {
      user: "root",
      sourceDirectories: ["/srv/vault"],
      excludePatterns: ["/srv/vault/icon_cache", "/srv/vault/tmp"],
      hooks: { beforeBackup: [], afterBackup: [] },
    },
    consistency: [{ sqlite: "/srv/vault/db.sqlite3" }],
  });
  const own = { fromCatalog: "vaultwarden", layout: "nixos", name: "vault" };
  expect(await create(control, own)).toMatchObject({
    name: "vault",
    request: { user: "vaultwarden", sourceDirectories: ["/var/lib/vaultwarden"] },
    consistency: [{ postgres: "vaultwarden" }],
    stopForRestore: ["vaultwarden.service"],
  });
  expect(await create(control, { ...own, name: "lite", params: { engine: "sqlite" } })).toMatchObject({
    consistency: [{ sqlite: "/var/lib/vaultwarden/db.sqlite3" }],
  });
});

test("faults name the field and the valid values", async () => {
  const control = await testControl();
  await control.enrol("nas", USERS);
  const invalid = { status: 400, code: "request.invalid" };
  const docker = { fromCatalog: "vaultwarden", layout: "docker" };
  expect(await refusal(control, { ...docker, fromCatalog: "bitwarden" })).toMatchObject({
    ...invalid,
    issues: [
      expect.stringMatching(/^fromCatalog: the catalogue has no "bitwarden"; it has audiobookshelf, .*vaultwarden$/),
    ],
  });
  expect(await refusal(control, { ...docker, layout: "snap" })).toMatchObject({
    ...invalid,
    issues: ["layout: must be one of nixos, debian, docker"],
  });
  expect(await refusal(control, { ...docker, params: { engine: "postgres", dta: "/srv" } })).toMatchObject({
    ...invalid,
    issues: [
      "params.dta: is not a parameter of this layout; it has data, engine, databaseContainer, databaseName, databaseUser, user",
      expect.stringMatching(/^params\.data: is required: DATA_FOLDER/),
      expect.stringMatching(/^params\.databaseContainer: is required: the container/),
    ],
  });
  const wrong = { data: "srv", engine: "oracle", user: "no user", databaseName: "a b" };
  expect(await refusal(control, { ...docker, params: wrong })).toMatchObject({
    ...invalid,
    issues: [
      "params.data: must be an absolute path (begin with '/')",
      "params.engine: must be one of sqlite, postgres, mariadb",
      "params.databaseName: must be a database's name",
      "params.user: must be the name of a Unix user on the host, or its number",
    ],
  });
  expect((await refusal(control, { ...docker, params: { data: "/" } })).issues).toEqual([
    "params.data: must be a directory below '/'",
  ]);
  const long = `/${"x".repeat(4090)}`;
  expect((await refusal(control, { ...docker, params: { data: long } })).issues).toEqual([
    expect.stringMatching(/^params: do not make a valid contract: /),
  ]);
  const unknownUser = { ...docker, params: { data: "/srv", user: "nobody" } };
  expect((await refusal(control, unknownUser)).issues).toEqual([
    expect.stringContaining('params.user: host "nas" has no user'),
  ]);
  expect((await refusal(control, { fromCatalog: "vaultwarden" })).issues).toEqual(["layout: is required (string)"]);
  expect((await refusal(control, { ...docker, request: {} })).issues).toEqual([
    ': unknown key "request"; remove it, or check its spelling',
  ]);
  expect((await control.admin.ask(page(Contract), "GET", "/api/v1/contracts")).items).toEqual([]);
});

/** The probes a host is given, as it reads them. */
async function probesOf(host: TestHost): Promise<Probes> {
  const { jws } = await host.ask(SignedProbes, "GET", "/agent/v1/probes");
  const [header = "", payload = ""] = jws.split(".").map((part) => Buffer.from(part, "base64url").toString());
  expect(JSON.parse(header)).toEqual({ alg: "EdDSA", typ: "holdfast-probes+jws" });
  return Probes.parse(JSON.parse(payload));
}

test("a host gets a signed list of the probes that fit it", async () => {
  const control = await testControl();
  const debian = await control.enrol("debian");
  const nixos = await control.enrol("nixos", { os: "NixOS 26.05 (Yarara)" });
  for (const [host, layouts] of [
    [debian, ["debian", "docker"]],
    [nixos, ["docker", "nixos"]],
  ] as const) {
    const probes = await probesOf(host);
    expect(probes.host).toBe(host.id);
    expect([...new Set(probes.probes.map(({ layout }) => layout))].toSorted()).toEqual(layouts);
  }
});

const radarr = {
  entry: "radarr",
  layout: "docker",
  container: "films",
  params: { data: "/srv/films" },
  evidence: ["container films of image linuxserver/radarr"],
};
const nextcloud = {
  entry: "nextcloud",
  layout: "docker",
  container: "cloud",
  params: { home: "/srv/cloud", data: "/srv/cloud/data" },
  evidence: ["container cloud of image nextcloud"],
};

function propose(host: TestHost, ...detections: object[]) {
  return host.send("PUT", "/agent/v1/detections", { detections });
}

async function proposed(control: TestControl, filter = ""): Promise<Proposal[]> {
  return (await control.admin.ask(page(Proposal), "GET", `/api/v1/proposals${filter}`)).items;
}

test("a detected service is proposed, and nothing is created before it is accepted", async () => {
  const control = await testControl();
  const host = await control.enrol("nas");
  const other = await control.enrol("other");
  expect((await propose(host, radarr, nextcloud, { ...radarr, entry: "unheard-of" })).status).toBe(204);
  await propose(other, radarr);
  const [cloud, films] = await proposed(control, `?host=${host.id}`);
  expect(films).toMatchObject({ ...radarr, host: host.id, missing: [], dismissedAt: null });
  expect(films?.contract).toMatchObject({ request: { sourceDirectories: ["/srv/films"] } });
  expect(cloud).toMatchObject({ ...nextcloud, contract: null, missing: ["databaseContainer"] });
  expect((await control.admin.ask(page(Contract), "GET", "/api/v1/contracts")).items).toEqual([]);
  expect(control.hubCalls).toEqual([]);

  const accept = (proposal: Proposal | undefined) => `/api/v1/proposals/${proposal?.id}/accept`;
  expect(await control.admin.refused("POST", accept(cloud), {})).toMatchObject({
    status: 400,
    issues: [{ path: ["params", "databaseContainer"], message: expect.stringContaining("is required") }],
  });
  expect(await proposed(control, `?host=${host.id}`)).toHaveLength(2);
  const params = { databaseContainer: "cloud_db" };
  expect(await control.admin.ask(Contract, "POST", accept(cloud), { name: "files", params })).toMatchObject({
    name: "files",
    host: host.id,
    consistency: [{ postgres: "nextcloud", role: "nextcloud", container: "cloud_db" }],
  });
  const accepted = await control.admin.ask(Contract, "POST", accept(films), {});
  expect(accepted.name).toBe("radarr");
  expect(await proposed(control, `?host=${host.id}`)).toEqual([]);
  expect(await control.admin.refused("POST", accept(films), { name: "again" })).toMatchObject({
    status: 404,
    code: "proposals.not_found",
  });

  // Found again, accepted still; with the contract gone, it is proposed again.
  await propose(host, { ...radarr, params: { data: "/srv/moved" } });
  expect(await proposed(control, `?host=${host.id}`)).toEqual([]);
  expect((await control.admin.send("DELETE", `/api/v1/contracts/${accepted.id}`)).status).toBe(204);
  expect(await proposed(control, `?host=${host.id}`)).toMatchObject([
    { entry: "radarr", params: { data: "/srv/moved" } },
  ]);
});

test("of two concurrent acceptances of a proposal, one creates a contract", async () => {
  const control = await testControl();
  const host = await control.enrol("nas");
  await propose(host, radarr);
  const [films] = await proposed(control);
  const path = `/api/v1/proposals/${films?.id}/accept`;
  const answers = await Promise.all(["one", "two"].map((name) => control.admin.send("POST", path, { name })));
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
  expect((await control.admin.ask(page(Contract), "GET", "/api/v1/contracts")).items).toHaveLength(1);
});

test("a service with a contract of the same sources is not proposed; one no longer detected is removed", async () => {
  const control = await testControl();
  const host = await control.enrol("nas");
  const contract = await create(control, {
    name: "all",
    request: { user: "root", sourceDirectories: ["/etc", "/srv/films"] },
  });
  await propose(host, radarr, nextcloud);
  expect((await proposed(control)).map(({ entry }) => entry)).toEqual(["nextcloud"]);
  await propose(host, radarr);
  expect(await proposed(control)).toEqual([]);
  await control.admin.send("DELETE", `/api/v1/contracts/${contract.id}`);
  expect((await proposed(control)).map(({ entry }) => entry)).toEqual(["radarr"]);
  const database = { entry: "postgresql", layout: "debian", container: null, params: {}, evidence: [] };
  await propose(host, database);
  expect(await proposed(control)).toMatchObject([{ entry: "postgresql", contract: { kind: "databasebackup" } }]);
});

test("a dismissed proposal stays dismissed, and can still be listed and accepted", async () => {
  const control = await testControl();
  const host = await control.enrol("nas");
  await propose(host, radarr);
  const [films] = await proposed(control);
  expect((await control.admin.send("DELETE", `/api/v1/proposals/${films?.id}`)).status).toBe(204);
  await propose(host);
  await propose(host, { ...radarr, params: { data: "/srv/moved" } });
  expect(await proposed(control)).toEqual([]);
  const [dismissed] = await proposed(control, "?dismissed=true");
  expect(dismissed).toMatchObject({
    id: films?.id,
    dismissedAt: "2026-11-23T08:00:00.000Z",
    params: { data: "/srv/moved" },
  });
  expect(await control.admin.ask(Contract, "POST", `/api/v1/proposals/${films?.id}/accept`, {})).toMatchObject({
    request: { sourceDirectories: ["/srv/moved"] },
  });
  expect(await proposed(control, "?dismissed=true")).toEqual([]);
});

test("proposals do not block deleting a host, and each host has its own list", async () => {
  const control = await testControl();
  const [host, other] = [await control.enrol("nas"), await control.enrol("other")];
  await propose(host, radarr);
  await propose(other);
  expect(await proposed(control)).toHaveLength(1);
  expect((await control.admin.send("DELETE", `/api/v1/hosts/${host.id}`)).status).toBe(204);
  expect(await proposed(control)).toEqual([]);
});
