import { constants } from "node:fs";
import { lstat, open, readdir } from "node:fs/promises";
import type { Paths } from "../config.ts";
import type { Ask } from "../policy/ask.ts";
import { asksOfSource } from "../policy/asks.ts";
import { checkSource } from "../policy/check.ts";
import { refuseOwn } from "../policy/decide.ts";
import type { Policy } from "../policy/policy.ts";
import { ownSecrets, readProtectedPlaces } from "../policy/protected.ts";
import { HOOK_LADDER } from "../system/process/kill-ladder.ts";
import { CHILD_PATH } from "../system/executables.ts";
import { runProcess } from "../system/process/process.ts";
import { closedDirectories } from "../system/passage.ts";
import type { RunUser } from "../system/process/user.ts";
import { realPathIfExists } from "../system/real-path.ts";
import { runError } from "../run-error.ts";
import type { RunLog } from "../run-log.ts";

interface SourcesInput {
  readonly paths: Paths;
  /** Throws when a place where a source's links lead waits for root. */
  readonly requireApproval: (asks: readonly Ask[]) => Promise<void>;
  readonly sources: readonly string[];
  readonly policy: Policy;
  readonly user: RunUser;
  readonly log: RunLog;
  readonly fileDirectory: string;
}

/**
 * Checks every source before the backup: an engine may take a missing or empty one for a good backup.
 * @returns the sources with symbolic links resolved, and warnings for a person
 * @throws `source.missing`, `source.empty`, `source.unreadable`, or PolicyError
 */
export async function checkSources(input: SourcesInput): Promise<{ sources: string[]; warnings: string[] }> {
  const real = await resolveSources(input.sources);
  for (const { source, path } of real) {
    checkSource(input.policy, path);
    refuseOwn(input.policy, ownSecrets(input.paths), path);
    if (path === source) continue;
    input.log.line(`source ${source} is ${path}`);
    const places = { protected: readProtectedPlaces(input.paths), secrets: [] };
    // Whoever owns the link chose the place: what the contract names was granted, not what it leads to.
    await input.requireApproval(asksOfSource({ ...input.policy, level: levelOfLinks(input.policy) }, places, path));
  }
  const paths = [...new Set(real.map(({ path }) => path))];
  const unreadable = await unreadableFor(input, paths);
  if (unreadable.length === paths.length) {
    const [first = ""] = unreadable;
    const message = `user ${input.user.name} can't read ${unreadable.join(", ")}`;
    throw runError("source.unreadable", message, (await closedDirectories(input.user, first)) ?? undefined);
  }
  const empty: string[] = [];
  for (const path of paths) if (await isEmptyDirectory(path)) empty.push(path);
  if (empty.length === paths.length) throw runError("source.empty", `nothing is in ${empty.join(", ")}`);
  return { sources: paths, warnings: empty.map((path) => `${path}: is empty`) };
}

/** Only protected places matter here, also where every contract was asked for. */
function levelOfLinks({ level, isDeclared }: Policy): Policy["level"] {
  return level === "open" || isDeclared ? "open" : "guarded";
}

async function resolveSources(sources: readonly string[]): Promise<{ source: string; path: string }[]> {
  const found = await Promise.all(sources.map(async (source) => ({ source, path: await realPathIfExists(source) })));
  const missing = found.filter(({ path }) => path === null).map(({ source }) => source);
  if (missing.length > 0) throw runError("source.missing", `${missing.join(", ")}: there is nothing there`);
  return found.flatMap(({ source, path }) => (path === null ? [] : [{ source, path }]));
}

async function unreadableFor({ user, fileDirectory }: SourcesInput, paths: string[]): Promise<string[]> {
  if (!user.needsSwitch) {
    const isFine = await Promise.all(paths.map(canOpen));
    return paths.filter((_path, index) => isFine[index] !== true);
  }
  const lines: string[] = [];
  // Tested as that user, so that groups, ACLs and parent directories count.
  const script = 'for p; do if [ -r "$p" ] && { [ ! -d "$p" ] || [ -x "$p" ]; }; then :; else echo "$p"; fi; done';
  await runProcess(
    {
      program: "/bin/sh",
      args: ["-c", script, "sh", ...paths],
      env: { PATH: CHILD_PATH },
      user,
      umask: "077",
      fileDirectory,
    },
    { ladder: HOOK_LADDER, timeLimitMs: 120_000, onStdout: (line) => lines.push(line) },
  );
  return paths.filter((path) => lines.includes(path));
}

/** Tested by opening it: only that takes the agent's capabilities into account. */
async function canOpen(path: string): Promise<boolean> {
  try {
    const isSpecial = (await lstat(path)).isFIFO();
    if (!isSpecial) await (await open(path, constants.O_RDONLY | constants.O_NONBLOCK)).close();
    return true;
  } catch {
    return false;
  }
}

/** A directory that can't be read does not count as empty. */
async function isEmptyDirectory(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory() && (await readdir(path)).length === 0;
  } catch {
    return false;
  }
}
