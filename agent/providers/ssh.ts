import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { sshTarget } from "../../shared/location.ts";
import { readTextIfExists, writeFileAtomically } from "../../shared/node/files.ts";
import { runError } from "../run-error.ts";
import type { Access } from "./provider.ts";

/** The host key is looked for under this name, so that it does not matter how the server is called. */
const KEY_ALIAS = "holdfast-repository";

/**
 * Writes what ssh may do for a repository: never ask anybody anything, take the pinned host key only, notice when the
 * other side is gone. What else the host's owner has configured stays.
 * @returns the file, for `ssh -F`; null when the repository is not behind ssh
 */
export async function sshConfig({ paths, repository }: Access): Promise<string | null> {
  if (sshTarget(repository.location) === null) return null;
  const directory = join(paths.cache, "ssh", repository.id);
  const [config, knownHosts] = [join(directory, "config"), join(directory, "known_hosts")];
  // The tools take their option apart by commas and quotes, and ssh its own file.
  if (/["'\\$%,]/.test(directory)) throw runError("host.failed", `ssh can't be given a file in ${directory}`);
  const { identityFile, hostKey } = repository.ssh;
  const lines = [
    ...FIXED,
    ...(identityFile === null ? [] : [`IdentityFile "${identityFile}"`, "IdentitiesOnly yes"]),
    ...(hostKey === null
      ? []
      : [`HostKeyAlias ${KEY_ALIAS}`, `UserKnownHostsFile "${knownHosts}"`, "GlobalKnownHostsFile /dev/null"]),
    "Include ~/.ssh/config",
    "Include /etc/ssh/ssh_config",
  ];
  // Nothing secret is in them, and the run's user has to read them.
  for (const made of [join(paths.cache, "ssh"), directory]) {
    await mkdir(made, { recursive: true, mode: 0o755 });
    await chmod(made, 0o755);
  }
  if (hostKey !== null) await writeReadable(knownHosts, `${KEY_ALIAS} ${hostKey}\n`);
  await writeReadable(config, `Host *\n${lines.map((line) => `  ${line}\n`).join("")}`);
  return config;
}

/** The first one that sets an option wins: these come before anything that is included. */
const FIXED = [
  "BatchMode yes",
  "StrictHostKeyChecking yes",
  "ConnectTimeout 20",
  "ServerAliveInterval 30",
  "ServerAliveCountMax 10",
  "ForwardAgent no",
  "ForwardX11 no",
  "PermitLocalCommand no",
];

async function writeReadable(path: string, text: string): Promise<void> {
  if ((await readTextIfExists(path)) !== text) await writeFileAtomically(path, text, 0o644);
}
