import { execFileSync } from "node:child_process";
import { accessSync, constants, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";

export interface FoundRestic {
  version: string;
  path: string;
}

/**
 * The oldest and the newest restic of those at hand: the distribution's own, and those `.ci/setup test` has put into the
 * cache. Fewer than two is an error, never a reason to skip: what holds for one version only does not hold.
 */
export function everyRestic(): FoundRestic[] {
  const own = (process.env["PATH"] ?? "").split(delimiter).map((directory) => join(directory, "restic"));
  // Made by engines.setup.ts.
  const shared = process.env["HOLDFAST_TEST_ENGINES"] ?? "";
  const cached = readdirSync(shared).map((name) => join(shared, name, "usr/bin/restic"));
  const found = new Map<string, FoundRestic>();
  for (const path of [...own, ...cached].filter(isExecutable)) {
    const version = /^restic (\d+\.\d+\.\d+)/.exec(execFileSync(path, ["version"], { encoding: "utf8" }))?.[1];
    if (version !== undefined && !found.has(version)) found.set(version, { version, path });
  }
  const sorted = [...found.values()].toSorted((one, other) =>
    one.version.localeCompare(other.version, "en", { numeric: true }),
  );
  const [oldest, newest] = [sorted.at(0), sorted.at(-1)];
  if (oldest === undefined || newest === undefined || oldest === newest) {
    throw new Error(`the engine's tests need two versions of restic, ${found.size} found: run sh .ci/setup test`);
  }
  return [oldest, newest];
}

/** For what does not hang on the version. */
export function newestRestic(): FoundRestic {
  const [, newest] = everyRestic();
  if (newest === undefined) throw new Error("there is no second restic");
  return newest;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
