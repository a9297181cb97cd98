import { chmod, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { Id, Name } from "../shared/ids.ts";
import { readTextIfExists, writeFileAtomically } from "../shared/node/files.ts";

/** Where everything of one agent lives on its host. All of it moves with HOLDFAST_AGENT_ROOT. */
export interface Paths {
  /** `HOLDFAST_AGENT_ROOT` as an absolute path; "/" is the machine itself. */
  readonly root: string;
  /** `/etc/holdfast`: the host owner's files. */
  readonly etc: string;
  readonly agentJson: string;
  readonly policyJson: string;
  readonly hooksDir: string;
  /** Contracts that the host's owner declares. */
  readonly contractsDir: string;
  /** `/var/lib/holdfast`, 0700: the agent's own state. */
  readonly state: string;
  readonly keyFile: string;
  readonly assignmentFile: string;
  /** The same once more: a disk that damages one leaves the other. */
  readonly assignmentCopy: string;
  readonly ordersDir: string;
  readonly spoolDir: string;
  readonly bindingsDir: string;
  readonly repositoriesDir: string;
  readonly secretsDir: string;
  readonly locksDir: string;
  /** What the files in contractsDir said when they could last be read, and what the control plane has against them. */
  readonly contractsFile: string;
  readonly cache: string;
  /** Who runs as the daemon, and how its connection is: for `status` and `doctor`. */
  readonly daemonFile: string;
  /** What install.sh put on the machine. */
  readonly binary: string;
  readonly unit: string;
  /** Where the restore script of each binding is kept, and the unit that makes one backup: see results.ts. */
  readonly scriptsDir: string;
  readonly backupUnit: string;
}

/** @param root `HOLDFAST_AGENT_ROOT`, or "" for the machine itself */
export function agentPaths(root: string): Paths {
  const etc = join("/", root, "etc/holdfast");
  const state = join("/", root, "var/lib/holdfast");
  return {
    root: join("/", root),
    etc,
    agentJson: join(etc, "agent.json"),
    policyJson: join(etc, "policy.json"),
    hooksDir: join(etc, "hooks.d"),
    contractsDir: join(etc, "contracts.d"),
    state,
    keyFile: join(state, "host.key"),
    assignmentFile: join(state, "assignment.jws"),
    assignmentCopy: join(state, "assignment.copy.jws"),
    ordersDir: join(state, "orders"),
    spoolDir: join(state, "spool"),
    bindingsDir: join(state, "bindings"),
    repositoriesDir: join(state, "repositories"),
    secretsDir: join(state, "secrets"),
    locksDir: join(state, "locks"),
    contractsFile: join(state, "contracts.json"),
    cache: join("/", root, "var/cache/holdfast"),
    daemonFile: join(state, "daemon.json"),
    binary: join("/", root, "usr/local/bin/holdfast-agent"),
    unit: join("/", root, "etc/systemd/system/holdfast-agent.service"),
    scriptsDir: join("/", root, "usr/local/bin"),
    backupUnit: join("/", root, "etc/systemd/system/holdfast-backup@.service"),
  };
}

/** agent.json: whose host this is. Written by `enroll`, holds no secret. */
export const AgentConfig = z.strictObject({
  url: z.url({ protocol: /^https?$/ }),
  host: Id,
  name: Name,
  audience: z.string(),
  controlKey: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
});
export type AgentConfig = z.infer<typeof AgentConfig>;

/** @returns null when this host is not enrolled. @throws when the file is there and not what `enroll` writes */
export async function readConfig(paths: Paths): Promise<AgentConfig | null> {
  const text = await readTextIfExists(paths.agentJson);
  if (text === null) return null;
  try {
    return AgentConfig.parse(JSON.parse(text));
  } catch {
    throw new Error(`${paths.agentJson} is damaged: move it away and enrol this host again`);
  }
}

export async function writeConfig(paths: Paths, config: AgentConfig): Promise<void> {
  await makeReadableDirectory(paths.etc);
  await writeFileAtomically(paths.agentJson, `${JSON.stringify(config, null, 2)}\n`, 0o644);
}

/** Makes a directory for others to read too: the agent's own umask must not shut out those who run what lies in it. */
export async function makeReadableDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await chmod(made, 0o755);
}
