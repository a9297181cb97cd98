import type { AssignedRepository } from "../../shared/assignment.ts";
import { Level } from "../../shared/approval.ts";
import { HookName } from "../../shared/contract.ts";
import { AbsolutePath, Name } from "../../shared/ids.ts";
import { type Arguments, UsageError } from "../../shared/node/arguments.ts";
import type { SecretSource } from "../../shared/repository.ts";
import { createFileAtomically } from "../../shared/node/files.ts";
import { makeReadableDirectory, type Paths } from "../config.ts";
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

/** Writes policy.json with the level of the line. One that is there already stays, and is named. */
export async function writeFirstPolicy(
  { paths, out }: { paths: Paths; out: (text: string) => void },
  { level }: Wish,
): Promise<void> {
  if (level === null) return;
  await makeReadableDirectory(paths.etc);
  const text = `${JSON.stringify({ level, keep: { snapshots: 3, days: 7 } }, null, 2)}\n`;
  if (await createFileAtomically(paths.policyJson, text, 0o644)) return;
  const policy = await loadPolicy(paths);
  const now = policy.fault === null ? `its level is ${policy.level}` : policy.fault;
  out(`${paths.policyJson} is there already and stays as it is: ${now}\n`);
}

/**
 * Grants what the line names, as it is at this moment.
 * @param repositories what the control plane's signed answer says of those that the line names
 * @returns a sentence for each thing granted
 * @throws Error when the answer leaves one out, or has one that was not named
 */
export function grantWish(wish: Wish, repositories: readonly AssignedRepository[]): string[] {
  const answered = repositories.map(({ name }) => name);
  if (wish.repositories.join(" ") !== answered.join(" ")) {
    throw new Error(
      `the control plane answered with the repositories ${answered.join(", ") || "none"}, asked for ${wish.repositories.join(", ")}`,
    );
  }
  return [
    ...repositories.map((repository) => `grants repository ${repository.name}: ${describeRepository(repository)}`),
    ...wish.hooks.map((name) => `grants hook ${name}: it may run before and after backups`),
    ...wish.sources.map((path) => `grants ${path} as a source of backups, but for the agent's own secrets`),
    ...wish.secretDirs.map((path) => `grants ${path} for the secrets of repositories`),
  ];
}

function describeRepository({ provider, location, passphrase, secrets, ssh, caFile }: AssignedRepository): string {
  return [
    `${provider} at ${location}`,
    `passphrase ${fromWhere(passphrase)}`,
    ...Object.entries(secrets).map(([name, source]) => `${name} ${fromWhere(source)}`),
    ...(ssh.identityFile === null ? [] : [`ssh key in ${ssh.identityFile}`]),
    ...(caFile === null ? [] : [`certificates in ${caFile}`]),
  ]
    .join(", ")
    .replaceAll(/\p{C}/gu, "?");
}

function fromWhere(source: SecretSource): string {
  if ("file" in source) return `in ${source.file}`;
  return "generate" in source ? "made on this host" : "sealed to its hosts";
}
