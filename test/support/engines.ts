import { execFileSync } from "node:child_process";
import { accessSync, constants, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import type { ProviderName } from "../../shared/repository.ts";

export interface FoundEngine {
  provider: ProviderName;
  version: string;
  path: string;
}

const VERSION_ARGS = { restic: "version", borg: "--version" };

/**
 * Every version of a tool at hand, the oldest first: the distribution's own, and those `.ci/setup test` has put into
 * the cache. Fewer than two is an error, never a reason to skip: what holds for one version only does not hold.
 */
export function everyVersion(provider: ProviderName): [FoundEngine, FoundEngine, ...FoundEngine[]] {
  const found = findVersions(provider);
  const [oldest, next, ...newer] = found.toSorted((one, other) =>
    one.version.localeCompare(other.version, "en", { numeric: true }),
  );
  if (oldest === undefined || next === undefined) {
    throw new Error(`the tests need two versions of ${provider}, ${found.length} found: run sh .ci/setup test`);
  }
  return [oldest, next, ...newer];
}

function findVersions(provider: ProviderName): FoundEngine[] {
  const own = (process.env["PATH"] ?? "").split(delimiter).map((directory) => join(directory, provider));
  // Made by engines.setup.ts.
  const shared = process.env["HOLDFAST_TEST_ENGINES"] ?? "";
  const cached = readdirSync(shared).map((name) => join(shared, name, "usr/bin", provider));
  const found = new Map<string, FoundEngine>();
  for (const path of [...own, ...cached].filter(isExecutable)) {
    const version = versionOf(provider, path);
    if (version !== null && !found.has(version)) found.set(version, { provider, version, path });
  }
  return [...found.values()];
}

const versions = new Map<string, string | null>(
  Object.entries(JSON.parse(process.env["HOLDFAST_TEST_ENGINE_VERSIONS"] ?? "{}")),
);

/** Asks every engine for its version now, so that no test has to. */
export function rememberVersions(): void {
  findVersions("restic");
  findVersions("borg");
  process.env["HOLDFAST_TEST_ENGINE_VERSIONS"] = JSON.stringify(Object.fromEntries(versions));
}

function versionOf(provider: ProviderName, path: string): string | null {
  const known = versions.get(path);
  if (known !== undefined) return known;
  const said = execFileSync(path, [VERSION_ARGS[provider]], { encoding: "utf8" });
  const version = /^(?:restic|borg) (\d+\.\d+\.\d+)/.exec(said)?.[1] ?? null;
  versions.set(path, version);
  return version;
}

/** The oldest and the newest: what holds for both is taken to hold between. */
export function oldestAndNewest(provider: ProviderName): [FoundEngine, FoundEngine] {
  const versions = everyVersion(provider);
  return [versions[0], versions.at(-1) ?? versions[1]];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** `npm run test:whole` plays on every version what `npm test` plays on one of each tool. */
export const IS_WHOLE = process.env["HOLDFAST_TESTS"] === "whole";

/** The newest restic and the oldest borg; when all is played, the oldest and the newest of both. */
export function oneOfEach(): FoundEngine[] {
  const [restic, borg] = [oldestAndNewest("restic"), oldestAndNewest("borg")];
  return IS_WHOLE ? [...restic, ...borg] : [restic[1], borg[0]];
}
