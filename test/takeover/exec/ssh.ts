import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { AssignedRepository } from "../../../shared/assignment.ts";
import { sshTarget } from "../../../shared/location.ts";
import type { Recorded } from "./recorder.ts";

const run = promisify(execFile);

/** What the real ssh makes of a configuration, compared with what it makes of none of ours. */
export interface SshJudge {
  /** Commands that were judged before. */
  readonly known: Map<string, string | null>;
  readonly plain: Promise<string>;
}

export function openSshJudge(): SshJudge {
  const file = join(tmpdir(), `holdfast-plain-ssh-${process.pid}`);
  const plain = writeFile(file, "Include ~/.ssh/config\nInclude /etc/ssh/ssh_config\n").then(() => file);
  return { known: new Map(), plain };
}

/** Each option that a repository's configuration sets, and what it may say. */
const SET: Readonly<Record<string, RegExp>> = {
  batchmode: /^yes$/,
  stricthostkeychecking: /^(?:true|yes)$/,
  connecttimeout: /^20$/,
  serveraliveinterval: /^30$/,
  serveralivecountmax: /^10$/,
  forwardagent: /^no$/,
  forwardx11: /^no$/,
  permitlocalcommand: /^no$/,
  identitiesonly: /^yes$/,
  hostkeyalias: /^holdfast-repository$/,
  // What ssh itself concludes from a file of known hosts that is not the user's.
  updatehostkeys: /^(?:false|no)$/,
  globalknownhostsfile: /^\/dev\/null$/,
  host: /^[A-Za-z0-9_.:-]+$/,
  hostname: /^[A-Za-z0-9_.:-]+$/,
  user: /^[A-Za-z0-9_.-]+$/,
  port: /^\d+$/,
};

/** @returns what ssh would do besides what is meant; null when nothing, or when the child calls no ssh */
export async function judgeSsh(
  judge: SshJudge,
  { program, argv, env }: Recorded,
  repository: AssignedRepository | undefined,
): Promise<string | null> {
  const words = sshWords(program, argv, env, repository);
  if (words === null || repository === undefined) return null;
  const key = JSON.stringify([words, repository.ssh]);
  const known = judge.known.get(key);
  if (known !== undefined) return known;
  const verdict = await ask(words, repository, await judge.plain);
  judge.known.set(key, verdict);
  return verdict;
}

/** The words that the engine starts ssh with, split as the engine does it. */
function sshWords(
  program: string,
  argv: readonly string[],
  env: Recorded["env"],
  repository: AssignedRepository | undefined,
): string[] | null {
  const target = sshTarget(repository?.location ?? "");
  if (target === null) return null;
  const who = target.user === null ? [] : ["-l", target.user];
  const port = target.port === null ? [] : ["-p", target.port];
  if (program === "borg") {
    const rsh = env.get("BORG_RSH");
    return rsh === undefined ? null : [...split(rsh), ...port, ...who, target.host];
  }
  const option = program === "restic" ? argv[argv.indexOf("-o") + 1] : undefined;
  if (option?.startsWith("sftp.command=") === true) return split(option.slice(13)).slice(0, -2);
  if (option?.startsWith("sftp.args=") === true)
    return ["ssh", target.host, ...port, ...who, ...split(option.slice(10))];
  return null;
}

/** Single quotes are all that we use. */
function split(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|([^\s']+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? "");
}

async function ask(
  words: readonly string[],
  { ssh, location }: AssignedRepository,
  plain: string,
): Promise<string | null> {
  const target = sshTarget(location);
  const [ours, theirs] = await Promise.all(
    [words.slice(1), ["-F", plain, target?.host ?? ""]].map((args) =>
      run("ssh", ["-G", ...args]).then(
        ({ stdout }) => stdout.trim().split("\n"),
        (error: unknown) => [`failed ${String(error)}`],
      ),
    ),
  );
  for (const line of ours ?? []) {
    if (theirs?.includes(line) === true) continue;
    const [name = "", ...rest] = line.split(" ");
    const value = rest.join(" ");
    if (name === "identityfile" && value === ssh.identityFile) continue;
    if (name === "userknownhostsfile" && ssh.hostKey !== null && /\/ssh\/[0-9a-f-]+\/known_hosts$/.test(value))
      continue;
    if (SET[name]?.test(value) !== true) return `${name} ${value}`;
  }
  if (!ours?.includes("batchmode yes")) return "the configuration of the repository does not apply";
  return null;
}
