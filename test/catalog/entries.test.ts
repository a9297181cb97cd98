import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { SERVICES, toCatalogEntry } from "../../control/catalog/catalog.ts";
import { fillTemplate } from "../../control/catalog/fill.ts";
import { readParams } from "../../control/catalog/params.ts";
import { type LayoutTemplate, STOP_THE_CONTAINER } from "../../control/catalog/template.ts";
import { CatalogEntry, Probe, type CatalogParam } from "../../shared/catalog.ts";
import { ContractBody } from "../../shared/contract.ts";

const ways = SERVICES.flatMap((service) =>
  Object.entries(service.layouts).map(([layout, template]) => ({
    at: `${service.name}, ${layout}`,
    service,
    template,
  })),
);

/** What somebody could give for a parameter that has no default. */
const GIVEN: Record<CatalogParam["kind"], string> = {
  path: "/srv/here",
  user: "somebody",
  unit: "some.service",
  container: "some_container",
  database: "some_database",
  role: "some_role",
  choice: "",
};

function given(template: LayoutTemplate, choices: Record<string, string> = {}): Record<string, string> {
  const missing = template.params.filter((param) => param.default === null);
  return { ...Object.fromEntries(missing.map(({ name, kind }) => [name, GIVEN[kind]])), ...choices };
}

test("every required service has an entry with three layouts, sorted by name", () => {
  expect(SERVICES.map(({ name }) => name)).toEqual([
    "audiobookshelf",
    "bazarr",
    "deluge",
    "firefly-iii",
    "forgejo",
    "grocy",
    "hledger",
    "home-assistant",
    "immich",
    "jackett",
    "jellyfin",
    "karakeep",
    "lidarr",
    "lldap",
    "mail",
    "mail-dkim",
    "nextcloud",
    "open-webui",
    "paperless",
    "pinchflat",
    "postgresql",
    "prowlarr",
    "radarr",
    "readarr",
    "sonarr",
    "vaultwarden",
  ]);
  for (const service of SERVICES) {
    expect(CatalogEntry.parse(toCatalogEntry(service)).layouts.map(({ layout }) => layout)).toEqual([
      "nixos",
      "debian",
      "docker",
    ]);
  }
});

test("the manual lists every entry", async () => {
  const manual = await readFile(join(import.meta.dirname, "../../docs/catalog.md"), "utf8");
  const listed = [...manual.matchAll(/^\| `([a-z-]+)` \|.*\|.*\|.*\|$/gm)].map(([, name]) => name);
  const names = SERVICES.map(({ name }) => name);
  expect(listed.filter((name) => name !== "nixos" && name !== "debian" && name !== "docker")).toEqual(names);
});

test.each(ways)("$at: is a complete contract for every choice, and uses each of its parameters", ({ template }) => {
  const choices = template.params.filter(({ kind }) => kind === "choice");
  const made = [{}, ...choices.flatMap(({ name, choices: all }) => all.map((one) => ({ [name]: one })))];
  const used = new Set(choices.map(({ name }) => name));
  for (const choice of made) {
    const { values, faults } = readParams(template.params, given(template, choice));
    const { contract, missing } = fillTemplate(template, values);
    expect({ faults, missing }).toEqual({ faults: [], missing: [] });
    const body = ContractBody.parse(contract);
    expect(JSON.stringify(body)).not.toContain("${");
    for (const { name } of template.params) {
      const without = { ...values };
      delete without[name];
      if (fillTemplate(template, without).missing.includes(name)) used.add(name);
    }
  }
  expect(template.params.map(({ name }) => name).filter((name) => !used.has(name))).toEqual([]);
});

test.each(ways)("$at: names the sources of its facts, and probes only what can be found", ({ service, template }) => {
  expect(template.facts.length).toBeGreaterThan(0);
  const names = new Set(template.params.map(({ name }) => name));
  for (const probe of template.probes) {
    const parsed = Probe.parse({ ...probe, entry: service.name, layout: "docker" });
    expect([...parsed.units, ...parsed.paths, ...parsed.images]).not.toEqual([]);
    const filled = [...Object.keys(parsed.mounts), ...Object.keys(parsed.companions), parsed.self, parsed.project];
    for (const name of filled) if (name !== null) expect(names).toContain(name);
    expect(readParams(template.params, parsed.choices).faults).toEqual([]);
  }
});

/** Nobody writes these while the machine runs: rspamd only reads its keys, and a journal is a person's own file. */
const NOT_WRITTEN = ["mail-dkim, nixos", "mail-dkim, debian", "mail-dkim, docker", "hledger, debian"];

test.each(ways)("$at: what writes its files is stopped for a restore, or the notes say how", ({ at, template }) => {
  const { files, probes, notes, params } = template;
  if (files === undefined) return;
  const stoppedWith = (choices: Record<string, string>): string[] => {
    const { contract } = fillTemplate(template, readParams(params, given(template, choices)).values);
    return "stopForRestore" in contract ? contract.stopForRestore : [];
  };
  const isSaid = at.endsWith("docker") ? notes.includes(STOP_THE_CONTAINER) : stoppedWith({}).length > 0;
  expect({ at, isSaid }).toEqual({ at, isSaid: !NOT_WRITTEN.includes(at) });
  // A service that is known by its unit is stopped by its unit.
  for (const { units = [], choices = {} } of probes) {
    if (units.length > 0) expect(stoppedWith(choices)).toEqual(expect.arrayContaining([...units]));
  }
});

test.each(ways)("$at: only names without shell syntax go into a command", ({ template }) => {
  const commands = [template.database?.backupCmd, template.database?.restoreCmd].join(" ");
  const inCommands = template.params.filter(({ name }) => commands.includes(`\${${name}}`));
  expect(inCommands.filter(({ kind }) => !["container", "role", "database"].includes(kind))).toEqual([]);
});

test("no exclude pattern names the log of a database", () => {
  const patterns = ways.flatMap(({ template }) => template.files?.excludes ?? []);
  expect(patterns.length).toBeGreaterThan(50);
  expect(patterns.filter((pattern) => /-(wal|shm)|\.db-/.test(pattern))).toEqual([]);
});

test("pattern characters of a path are escaped, and a trailing slash is removed", () => {
  const template = SERVICES.find(({ name }) => name === "radarr")?.layouts.docker;
  if (template === undefined) throw new Error("no radarr");
  const { contract } = fillTemplate(template, readParams(template.params, { data: "/srv/a[1] *?\\/" }).values);
  expect(contract).toMatchObject({
    request: {
      sourceDirectories: ["/srv/a[1] *?\\"],
      excludePatterns: expect.arrayContaining(["/srv/a\\[1\\] \\*\\?\\\\/logs.db*"]),
    },
    consistency: [{ sqlite: "/srv/a[1] *?\\/radarr.db" }],
  });
});
