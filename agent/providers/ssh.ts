import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { sshTarget } from "../../shared/location.ts";
import { readTextIfExists, writeFileAtomically } from "../../shared/node/files.ts";
import { runError } from "../run-error.ts";
import type { Access } from "./provider.ts";

/** The host key is looked up under this name, whatever name the server has. */
const KEY_ALIAS = "holdfast-repository";

/**
 * Writes the ssh configuration of a repository: never prompts, accepts only the pinned host key, and notices when the
 * server is gone. The host's own configuration still applies.
 * @returns the file, for `ssh -F`; null when the repository is not accessed over ssh
 */
export async function sshConfig({ paths, repository }: Access): Promise<string | null> {
  if (sshTarget(repository.location) === null) return null;
  const directory = join(paths.cache, "ssh", repository.id);
  const [config, knownHosts] = [join(directory, "config"), join(directory, "known_hosts")];
  // The engines split their option at commas and quotes, and ssh its own file.
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
  // They hold no secrets, and the run's user has to read them.
  for (const made of [join(paths.cache, "ssh"), directory]) {
    await mkdir(made, { recursive: true, mode: 0o755 });
    await chmod(made, 0o755);
  }
  if (hostKey !== null) await writeReadable(knownHosts, `${KEY_ALIAS} ${hostKey}\n`);
  await writeReadable(config, `Host *\n${lines.map((line) => `  ${line}\n`).join("")}`);
  return config;
}

/** In ssh, the first value of an option wins: these come before any included file. */
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
