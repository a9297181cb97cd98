import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { imageName } from "../../agent/detect/container-api.ts";
import { detect } from "../../agent/detect/detect.ts";
import { searchPathsFrom, type SearchPaths } from "../../agent/detect/search-paths.ts";
import { SERVICES } from "../../control/catalog/catalog.ts";
import { Probe, type Detection } from "../../shared/catalog.ts";
import { SECRET, startFakeDocker, type FakeContainer, type FakeDocker } from "../support/fake-docker.ts";

let root: string;
let docker: FakeDocker;
let machine: SearchPaths;

const PROBES = SERVICES.flatMap(({ name, layouts }) =>
  (["debian", "docker"] as const).flatMap((layout) =>
    layouts[layout].probes.map((probe) => Probe.parse({ ...probe, entry: name, layout })),
  ),
);

/** Without what this machine itself may have: the probes for paths look at its own. */
const UNITS = PROBES.map((probe) => ({ ...probe, paths: [] }));

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "holdfast-detect-"));
  for (const directory of ["etc", "usr"]) await mkdir(join(root, directory));
  docker = await startFakeDocker(join(root, "docker.sock"));
  machine = { unitDirectories: [join(root, "etc"), join(root, "usr")], sockets: [docker.socket] };
});

afterEach(async () => {
  await docker.stop();
  await rm(root, { recursive: true, force: true });
});

async function found(containers: FakeContainer[], probes: Probe[] = UNITS): Promise<Detection[]> {
  docker.containers = containers;
  return detect(probes, machine);
}

test("a unit file is a service wherever systemd finds it; a masked one is not", async () => {
  await writeFile(join(root, "usr/radarr.service"), "[Service]\n");
  await writeFile(join(root, "etc/jellyfin.service"), "[Service]\n");
  await writeFile(join(root, "usr/jellyfin.service"), "[Service]\n");
  await writeFile(join(root, "usr/forgejo.service"), "[Service]\n");
  await symlink("/dev/null", join(root, "etc/forgejo.service"));
  await writeFile(join(root, "usr/my-secret-project.service"), "[Service]\n");
  expect(await detect(UNITS, machine)).toEqual([
    {
      entry: "jellyfin",
      layout: "debian",
      params: {},
      container: null,
      evidence: [`unit ${join(root, "etc/jellyfin.service")}`],
    },
    {
      entry: "radarr",
      layout: "debian",
      params: {},
      container: null,
      evidence: [`unit ${join(root, "usr/radarr.service")}`],
    },
  ]);
});

test("which units of a service are there decides its choices", async () => {
  const onNixos = (entry: string) =>
    (SERVICES.find(({ name }) => name === entry)?.layouts.nixos.probes ?? []).map((probe) =>
      Probe.parse({ ...probe, entry, layout: "nixos" }),
    );
  const paramsAfter = async (...units: string[]) => {
    for (const unit of units) await writeFile(join(root, "etc", unit), "[Service]\n");
    const seen = await detect([...onNixos("deluge"), ...onNixos("mail")], machine);
    return Object.fromEntries(seen.map(({ entry, params }) => [entry, params]));
  };
  expect(await paramsAfter("deluged.service", "dovecot2.service")).toEqual({
    deluge: { web: "no" },
    mail: { imap: "dovecot2.service" },
  });
  expect(await paramsAfter("delugeweb.service")).toMatchObject({ deluge: {} });
  await rm(join(root, "etc/dovecot2.service"));
  expect(await paramsAfter("dovecot.service")).toEqual({ deluge: {}, mail: {} });
});

test("paths identify a service only when all of them exist", async () => {
  const paths = [join(root, "srv/config.php"), join(root, "srv/data")];
  const probe = Probe.parse({ entry: "grocy", layout: "debian", paths });
  await mkdir(join(root, "srv/data"), { recursive: true });
  expect(await detect([probe], machine)).toEqual([]);
  await writeFile(join(root, "srv/config.php"), "");
  expect(await detect([probe], machine)).toMatchObject([
    { entry: "grocy", evidence: paths.map((path) => `path ${path}`) },
  ]);
});

test("a container's directories are found on the host, mounted or below a mount", async () => {
  const seen = await found([
    {
      name: "films",
      image: "lscr.io/linuxserver/radarr:latest",
      mounts: { "/config": "/srv/radarr", "/movies": "/srv/films" },
    },
    {
      name: "vault",
      image: "vaultwarden/server:1.32.5-alpine",
      mounts: { "/data": "/var/lib/docker/volumes/vault/_data" },
    },
    {
      name: "tv",
      image: "jellyfin/jellyfin@sha256:" + "ef".repeat(32),
      mounts: { "/config": "/srv/jf", "/cache": "/tmp/jf" },
    },
    { name: "tv2", image: "linuxserver/jellyfin", mounts: { "/config": "/srv/jf2" } },
    {
      name: "photos",
      image: "ghcr.io/immich-app/immich-server:v1.120.0",
      mounts: { "/usr/src/app/upload": "/srv/old" },
    },
    { name: "other", image: "somebody/radarr", mounts: { "/config": "/srv/other" } },
  ]);
  expect(seen.map(({ entry, container, params }) => ({ entry, container, params }))).toEqual([
    { entry: "immich", container: "photos", params: { media: "/srv/old" } },
    { entry: "jellyfin", container: "tv", params: { data: "/srv/jf", databases: "/srv/jf/data" } },
    { entry: "jellyfin", container: "tv2", params: { data: "/srv/jf2", databases: "/srv/jf2/data/data" } },
    { entry: "radarr", container: "films", params: { data: "/srv/radarr" } },
    { entry: "vaultwarden", container: "vault", params: { data: "/var/lib/docker/volumes/vault/_data" } },
  ]);
  expect(seen.find(({ container }) => container === "films")?.evidence).toEqual([
    "container films of image lscr.io/linuxserver/radarr:latest",
    "its /config is /srv/radarr",
  ]);
});

test("the database and the directory of a Compose project are found", async () => {
  const project: [string, string] = ["money", "/srv/money"];
  const uploads = { "/var/www/html/storage/upload": "/srv/money/uploads" };
  const app = { name: "money-app-1", image: "fireflyiii/core:version-6", mounts: uploads, project };
  const other = { name: "cloud-db-1", image: "mariadb:11", project: ["cloud", "/srv/cloud"] as [string, string] };
  const own = { name: "money-db-1", image: "docker.io/library/mariadb:11", project };
  const params = { uploads: "/srv/money/uploads", project: "/srv/money" };
  const firefly = (containers: FakeContainer[]) =>
    found(
      containers,
      PROBES.filter(({ entry }) => entry === "firefly-iii"),
    );
  expect(await firefly([app, other, own])).toMatchObject([
    { params: { ...params, databaseContainer: "money-db-1", engine: "mariadb" } },
  ]);
  const postgres = { ...own, image: "postgres:17", name: "money-pg-1" };
  expect(await firefly([app, other, postgres])).toMatchObject([
    { params: { ...params, databaseContainer: "money-pg-1", engine: "postgres" } },
  ]);
  // Of two that could be it, none is guessed, whether they are alike or not.
  for (const second of [{ ...own, name: "money-db-2" }, postgres]) {
    expect((await firefly([app, own, second])).map((one) => one.params)).toEqual([params]);
  }
});

test("PostgreSQL in a container is proposed as that container; a container of an older image is still recognized", async () => {
  expect(await found([{ name: "pg", image: "postgres:16" }])).toMatchObject([
    { entry: "postgresql", layout: "docker", container: "pg", params: { container: "pg" } },
  ]);
  const outdated = {
    name: "films",
    image: "linuxserver/radarr",
    isOutdated: true,
    mounts: { "/config": "/srv/radarr" },
  };
  expect(await found([outdated])).toMatchObject([{ entry: "radarr", params: { data: "/srv/radarr" } }]);
});

test("only what is probed leaves the host, and of containers only names and mounts", async () => {
  const seen = await found([
    {
      name: "films",
      image: "linuxserver/radarr",
      mounts: { "/config": "/srv/radarr", "/private": "/home/me/private" },
    },
    { name: "diary", image: "my/diary", mounts: { "/config": "/home/me/diary" } },
  ]);
  expect(seen).toHaveLength(1);
  expect(JSON.stringify(seen)).not.toMatch(/diary|private|hunter2/);
  expect(SECRET).toContain("hunter2");
  expect(docker.asked.filter((path) => !path.startsWith("GET /containers/"))).toEqual([]);
  expect(docker.asked.filter((path) => path !== "GET /containers/json")).toHaveLength(1);
});

test("without a container engine, without access, or with nonsense answers, detection works on", async () => {
  const probes = PROBES.filter(({ layout }) => layout === "docker");
  for (const socket of [join(root, "nothing.sock"), join(root, "etc")]) {
    expect(await detect(probes, { ...machine, sockets: [socket] })).toEqual([]);
  }
  docker.containers = [{ name: "films", image: "linuxserver/radarr" }];
  expect(await detect(probes, { ...machine, sockets: [docker.socket, docker.socket] })).toHaveLength(1);
});

test("detection looks where systemd and Docker themselves look", () => {
  expect(searchPathsFrom({})).toMatchObject({ sockets: ["/var/run/docker.sock", "/run/podman/podman.sock"] });
  expect(searchPathsFrom({}).unitDirectories).toContain("/etc/systemd/system");
  expect(searchPathsFrom({ DOCKER_HOST: "unix:///run/user/1000/docker.sock", SYSTEMD_UNIT_PATH: "/a:/b:" })).toEqual({
    unitDirectories: ["/a", "/b"],
    sockets: ["/run/user/1000/docker.sock"],
  });
  expect(searchPathsFrom({ DOCKER_HOST: "tcp://10.0.0.1:2375" }).sockets).toContain("/var/run/docker.sock");
});

test.each([
  ["ghcr.io/linuxserver/radarr:5.1@sha256:" + "a".repeat(64), "linuxserver/radarr"],
  ["docker.io/library/postgres:16-alpine", "postgres"],
  ["postgres", "postgres"],
  ["localhost:5000/forgejo/forgejo:9", "forgejo/forgejo"],
  ["codeberg.org/forgejo/forgejo:9", "forgejo/forgejo"],
  ["sha256:" + "a".repeat(64), null],
  ["3f29a1bc77de", null],
])("the image %s is searched as %s", (image, name) => {
  expect(imageName(image)).toBe(name);
});
