import { realpath } from "node:fs/promises";
import type { AssignedRepository } from "../../shared/assignment.ts";
import { Level } from "../../shared/approval.ts";
import { HookName } from "../../shared/contract.ts";
import { AbsolutePath, Name } from "../../shared/ids.ts";
import { type Arguments, UsageError } from "../../shared/node/arguments.ts";
import { createFileAtomically } from "../../shared/node/files.ts";
import { makeReadableDirectory, type Paths } from "../config.ts";
import { askForHook, askForRepository, askForSource } from "../policy/asks.ts";
import { recordGrants } from "../policy/grants.ts";
import { loadPolicy } from "../policy/policy.ts";

/** What root grants with the line of installation, as typed. */
export interface Wish {
  /** Null when the line does not say. */
  readonly level: Level | null;
  /** Names: the control plane's answer says what they are. */
  readonly repositories: readonly string[];
  readonly hooks: readonly string[];
  /** Protected directories, such as /etc, that may be backed up. */
  readonly sources: readonly string[];
  /** Directories that repository secrets may be read from. */
  readonly secretDirs: readonly string[];
}

export const NOTHING: Wish = { level: null, repositories: [], hooks: [], sources: [], secretDirs: [] };

/** @throws UsageError that names the option */
export function wishOf(given: Arguments): Wish {
  const level = given.text("level");
  const parsed = Level.safeParse(level);
  if (level !== undefined && !parsed.success) throw new UsageError("--level must be guarded, ask or open");
  const all = (option: string, isValid: (value: string) => boolean, what: string): string[] =>
    given.list(option).map((value) => {
      if (!isValid(value)) throw new UsageError(`--${option} '${value}' must be ${what}`);
      return value;
    });
  const isPath = (value: string): boolean => AbsolutePath.safeParse(value).success;
  return {
    level: parsed.success ? parsed.data : null,
    repositories: all("repository", (value) => Name.safeParse(value).success, "the name of a repository"),
    hooks: all("hook", (value) => HookName.test(value), "the name of a file in hooks.d"),
    sources: all("source", isPath, "an absolute path"),
    secretDirs: all("secret-dir", isPath, "an absolute path"),
  };
}

export function hasGrants({ repositories, hooks, sources, secretDirs }: Wish): boolean {
  return [repositories, hooks, sources, secretDirs].some((list) => list.length > 0);
}

/**
 * Writes policy.json with the level of the line, and the places of secrets. One that is there already stays, and is
 * named.
 */
export async function writeFirstPolicy(
  { paths, out }: { paths: Paths; out: (text: string) => void },
  { level, secretDirs }: Wish,
): Promise<void> {
  if (level === null && secretDirs.length === 0) return;
  await makeReadableDirectory(paths.etc);
  const keep = { snapshots: 3, days: 7 };
  const policy = { level: level ?? "guarded", keep, ...(secretDirs.length === 0 ? {} : { secrets: secretDirs }) };
  if (await createFileAtomically(paths.policyJson, `${JSON.stringify(policy, null, 2)}\n`, 0o644)) {
    for (const path of secretDirs) out(`grants ${path}: secrets of repositories may be read from there\n`);
    return;
  }
  const { fault, level: now } = await loadPolicy(paths);
  out(`${paths.policyJson} is there already and stays as it is: ${fault ?? `its level is ${now}`}\n`);
  if (secretDirs.length > 0) out(`to read secrets from ${secretDirs.join(", ")}, add that to its "secrets"\n`);
}

/**
 * Grants what the line names, as it is at this moment.
 * @param repositories what the control plane's signed answer says of those that the line names
 * @returns a sentence for each thing granted
 * @throws Error when the answer leaves one out, or has one that was not named
 */
export async function grantWish(
  deps: { paths: Paths; clock: { now(): number } },
  wish: Wish,
  repositories: readonly AssignedRepository[],
): Promise<string[]> {
  const answered = repositories.map(({ name }) => name);
  if (wish.repositories.join(" ") !== answered.join(" ")) {
    throw new Error(
      `the control plane answered with the repositories ${answered.join(", ") || "none"}, asked for ${wish.repositories.join(", ")}`,
    );
  }
  const real = await Promise.all(wish.sources.map(realPathOf));
  const grants = [
    ...repositories.map((repository) => ({ of: `repository ${repository.name}`, ask: askForRepository(repository) })),
    ...wish.hooks.map((name) => ({ of: `hook ${name}`, ask: askForHook(name) })),
    ...[...new Set([...wish.sources, ...real])].map((path) => ({ of: `source ${path}`, ask: askForSource(path) })),
  ];
  await recordGrants(
    deps,
    grants.map(({ ask }) => ask),
    "installation",
  );
  return grants.map(({ of, ask }) => `grants ${of}: ${ask.summary}`);
}

/** With symbolic links resolved; as it is when it does not exist yet. */
async function realPathOf(path: string): Promise<string> {
  return await realpath(path).catch(() => path);
}
