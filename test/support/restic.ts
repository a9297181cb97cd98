import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";

export interface FoundRestic {
  version: string;
  path: string;
}

const ENGINES = join(import.meta.dirname, "../../node_modules/.cache/engines");

/**
 * Every restic the tests run on: the distribution's own, and those `.ci/setup test` has put into the cache. Oldest first.
 * Fewer than two is an error, never a reason to skip: what holds for one version only does not hold.
 */
export function everyRestic(): FoundRestic[] {
  const own = (process.env["PATH"] ?? "").split(delimiter).map((directory) => join(directory, "restic"));
  const cached = existsSync(ENGINES) ? readdirSync(ENGINES).map((name) => join(ENGINES, name, "usr/bin/restic")) : [];
  const found = new Map<string, FoundRestic>();
  for (const path of [...own, ...cached].filter(isExecutable)) {
    const version = /^restic (\d+\.\d+\.\d+)/.exec(execFileSync(path, ["version"], { encoding: "utf8" }))?.[1];
    if (version !== undefined && !found.has(version)) found.set(version, { version, path });
  }
  if (found.size < 2) {
    throw new Error(`the engine's tests need two versions of restic, ${found.size} found: run sh .ci/setup test`);
  }
  return [...found.values()].toSorted((one, other) =>
    one.version.localeCompare(other.version, "en", { numeric: true }),
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
