import type * as z from "zod";
import type { CreateEnrollment } from "../../../shared/host.ts";
import { sha256Hex } from "../../auth/secret.ts";
import type { Deps } from "../../deps.ts";

type Served = Pick<Deps, "agentFiles" | "config">;

/**
 * install.sh with the address of this control plane. It ends without a newline, so that `"$(curl …)"` in the pasted
 * line is all of it, byte for byte.
 * @returns null when there is no package
 */
export async function installScript({ agentFiles, config }: Served): Promise<string | null> {
  const template = await agentFiles.read("install.sh");
  return template?.trimEnd().replace("'@URL@'", () => shellQuoted(config.url)) ?? null;
}

/** Hex SHA-256 of /install/SHA256SUMS, which enrolment tokens contain; null without a package. */
export async function agentFilesDigest({ agentFiles }: Pick<Deps, "agentFiles">): Promise<string | null> {
  const sums = await agentFiles.read("SHA256SUMS");
  return sums === null ? null : await sha256Hex(sums);
}

/** What the line of installation grants: readable in it, since it is root who pastes it. */
export type Grants = Pick<z.infer<typeof CreateEnrollment>, "level" | "repositories" | "hooks">;

/**
 * The line that makes a machine a host, for any shell.
 * - The token stands in no process's arguments or environment: `echo` is part of every shell, and writes into a pipe.
 * - The script runs only if it has the digest in the line, and checks all it downloads by the digest in the token. So
 *   plain http is enough, as long as the line itself came another way.
 * - The leading space keeps the line out of the history of shells that heed it (HISTCONTROL=ignorespace).
 */
export async function installCommand(deps: Served, token: string, grants: Grants): Promise<string> {
  const { url } = deps.config;
  const script = await installScript(deps);
  if (script === null) return withAgentInPlace(url, token, grants);
  const steps = [
    `HOLDFAST_ENROLL_TOKEN=${token}`,
    `if s=$(curl -fsSL ${url}/install.sh) && [ "$(printf %s "$s" | sha256sum)" = "${await sha256Hex(script)}  -" ]`,
    'then eval "$s"',
    'else echo "install.sh is not the one this line was made for: nothing was run" >&2',
    "exit 1",
    "fi",
  ];
  return ` echo '${steps.join("; ")}' | sudo sh${wordsOf(["-s", "--"], grants)}`;
}

/** Without a package to download, the agent has to be there already. */
function withAgentInPlace(url: string, token: string, grants: Grants): string {
  return ` echo ${token} | sudo holdfast-agent enroll --url ${url} --token -${wordsOf([], grants)}`;
}

/** Names and levels have no character that a shell reads. */
function wordsOf(before: string[], { level, repositories, hooks }: Grants): string {
  const words = [
    ...(level === undefined ? [] : ["--level", level]),
    ...repositories.flatMap((name) => ["--repository", name]),
    ...hooks.flatMap((name) => ["--hook", name]),
  ];
  return words.length === 0 ? "" : ` ${[...before, ...words].join(" ")}`;
}

/** Quotes an origin for the shell, because it may contain special characters. */
function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
