import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type * as z from "zod";
import { ContractSettings } from "../../agent/declared/contract-settings.ts";
import { readContract } from "../../agent/declared/contract-file.ts";
import { PolicyFile } from "../../agent/policy/policy.ts";
import { DatabaseContract, FilesContract } from "../../shared/contract.ts";
import { isRecord } from "../../shared/json.ts";
import { declaredIn, evaluated, listOptions, type Option } from "./nix.ts";
import { keysOf } from "./schema-keys.ts";

const repository = join(import.meta.dirname, "../..");

let options: Option[];
beforeAll(async () => {
  options = await listOptions();
});

/** Every part of the paths below one, without what only the module has. */
function below(top: string): string[] {
  const paths = options.filter(({ path }) => path.startsWith(`${top}.`)).map(({ path }) => path.slice(top.length + 1));
  const parts = paths.flatMap((path) => path.split(".").map((_, end, all) => all.slice(0, end + 1).join(".")));
  return [...new Set(parts)].filter((path) => !ofTheModule(path, new Set(parts))).toSorted();
}

/**
 * A secret is a whole to the schemas; the result is the provider's own; and each rule of the retention has borg's word
 * as well, which the agent reads as restic's.
 */
function ofTheModule(path: string, all: ReadonlySet<string>): boolean {
  const [, rule] = /^settings\.retention\.(.*)$/.exec(path) ?? [];
  return (
    /(^|\.)(passphrase|secrets|environment)\./.test(path) ||
    /^result(\.|$)/.test(path) ||
    all.has(`settings.retention.keep_${rule === "3monthly" ? "quarterly" : rule}`)
  );
}

function ofSchema(schema: z.ZodType): string[] {
  return keysOf(schema)
    .filter((key) => key !== "kind" && !ofTheModule(key, new Set()))
    .toSorted();
}

describe("the options of the NixOS module", () => {
  it("are the keys of the agent's schemas, both ways", () => {
    const bound = { settings: ContractSettings };
    expect(below("instances")).toEqual(ofSchema(FilesContract.extend(bound)));
    expect(below("databases")).toEqual(ofSchema(DatabaseContract.extend(bound)));
    expect(below("policy")).toEqual(ofSchema(PolicyFile));
  });

  it("each say what they mean, with an example, and a default unless they must be given", () => {
    const bare = options.filter(
      ({ hasExample, description, type }) => !hasExample || description === null || type === null,
    );
    expect(bare.map(({ path }) => path)).toEqual([]);
    const must = options
      .filter(({ hasDefault }) => !hasDefault)
      .map(({ path }) => path.replace(/^(instances|databases)\./, ""));
    expect([...new Set(must)].toSorted()).toEqual([
      "package",
      "request",
      "request.backupCmd",
      "request.restoreCmd",
      "request.sourceDirectories",
      "settings.pings.kind",
      "settings.pings.url",
      "settings.repository.path",
    ]);
  });

  it("have the defaults of the schemas", async () => {
    const given = { request: { sourceDirectories: ["/a"] }, settings: MINIMUM };
    const made = await evaluated({ instances: { x: given } });
    const byHand = { ...given, settings: { passphrase: "/run/p", repository: MINIMUM.repository } };
    expect(declaredIn(made, "x")).toEqual(readContract("x.json", JSON.stringify(byHand), "root"));
    expect(made.failed).toEqual([]);
  });

  it("have examples that the agent takes, and that change what it reads", async () => {
    const top = "instances.settings.";
    const tried = options.filter(({ path }) => path.startsWith(top) && !NOT_BY_EXAMPLE.test(path));
    const settings = tried.map(({ path, example }) => put(MINIMUM, path.slice(top.length).split("."), example));
    const step = (name: string, example: unknown): object =>
      /^(sqlite|postgres|mariadb|stop|pause)$/.test(name) ? { [name]: example } : { postgres: "x", [name]: example };
    const steps = options.flatMap(({ path, example }) => {
      const [, name] = /^instances\.consistency\.(.*)$/.exec(path) ?? [];
      return name === undefined ? [] : [step(name, example)];
    });
    const request = { sourceDirectories: ["/a"] };
    const instances = [
      { request, settings: MINIMUM },
      ...settings.map((one) => ({ request, settings: one })),
      ...steps.map((one) => ({ request, settings: MINIMUM, consistency: [one] })),
    ];
    const made = await evaluated({ instances: Object.fromEntries(instances.map((one, index) => [`i${index}`, one])) });
    expect(made.failed).toEqual([]);
    const found = instances.map((_, index) => declaredIn(made, `i${index}`));
    expect(found.flatMap((one) => (one.ok ? [] : one.faults))).toEqual([]);
    const read = found.map((one) => (one.ok ? JSON.stringify([one.contract.body, one.contract.bound]) : ""));
    const [plain, ...others] = read;
    const unchanged = tried.filter((_, index) => others[index] === plain).map(({ path }) => path.slice(top.length));
    expect(unchanged).toEqual(["consistency", "stateDir"]);
    expect(steps.length).toBe(10);
  });

  it("write a policy that the agent takes, every key of it", async () => {
    const keys = options.filter(({ path }) => path.startsWith("policy."));
    const policy = keys.reduce((all, { path, example }) => put(all, path.split(".").slice(1), example), {});
    const made = await evaluated({ policy });
    const written: unknown = JSON.parse(made.files["holdfast/policy.json"]?.text ?? "null");
    expect(written).toEqual(policy);
    const [read, usual] = [PolicyFile.parse(written), PolicyFile.parse({})];
    for (const key of PolicyFile.keyof().options) expect(read[key]).not.toEqual(usual[key]);
  });
});

describe("every example of the documentation", () => {
  const CONFIG = `{
    shb.vaultwarden.backup.request = { user = "vaultwarden"; sourceDirectories = [ "/var/lib/vaultwarden" ]; excludePatterns = [ ]; hooks = { beforeBackup = [ ]; afterBackup = [ ]; }; };
    shb.postgresql.databasebackup.request = { user = "postgres"; backupName = "postgres.sql"; backupCmd = "pg_dumpall"; restoreCmd = "psql"; };
    shb.sops.secret."vaultwarden/backup".result.path = "/run/secrets/vaultwarden/backup";
    shb.sops.secret."postgres/backup".result.path = "/run/secrets/postgres/backup";
  }`;

  it("is evaluated, and read by the agent", async () => {
    const manuals = (await readdir(join(repository, "docs"))).filter((name) => name.endsWith(".md"));
    const texts = await Promise.all(
      [...manuals.map((name) => `docs/${name}`), "README.md"].map((name) => readFile(join(repository, name), "utf8")),
    );
    const examples = texts.flatMap((text) => [...text.matchAll(/^```nix\n(.*?)^```$/gms)].map(([, nix = ""]) => nix));
    expect(examples.length).toBeGreaterThanOrEqual(1);
    for (const example of examples) {
      const made = await evaluated(
        `{ holdfast-agent, ... }: let config = ${CONFIG}; in (${example}).services.holdfast`,
      );
      expect({ failed: made.failed, warnings: made.warnings }).toEqual({ failed: [], warnings: [] });
      for (const name of Object.keys(made.results)) {
        const read = declaredIn(made, name);
        expect(read.ok ? [] : read.faults).toEqual([]);
      }
      expect(Object.keys(made.results)).not.toEqual([]);
    }
  });
});

const MINIMUM = { passphrase: { result: { path: "/run/p" } }, repository: { path: "/srv/b" } };

/** A requester reads it; a secret is one of several; and an alternative needs the rest of its own. */
const NOT_BY_EXAMPLE = /\.(passphrase|secrets|environment)\.|settings\.passphrase$|\.pings\./;

/** @returns the same with a value at a path */
function put(into: unknown, [key = "", ...rest]: string[], value: unknown): Record<string, unknown> {
  const here = isRecord(into) ? into : {};
  return { ...here, [key]: rest.length === 0 ? value : put(here[key], rest, value) };
}
