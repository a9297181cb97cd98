import { chmod, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { Id, Name } from "../shared/ids.ts";
import { readTextIfExists, writeFileAtomically } from "../shared/node/files.ts";

/** Paths of one agent on its host. All of them are below HOLDFAST_AGENT_ROOT. */
export interface Paths {
  /** `HOLDFAST_AGENT_ROOT` as an absolute path; "/" is the machine itself. */
  readonly root: string;
  /** `/etc/holdfast`: files of the host's owner. */
  readonly etc: string;
  readonly agentJson: string;
  readonly policyJson: string;
  readonly hooksDir: string;
  /** Secrets of repositories: the only place they are read from unless root grants another. */
  readonly etcSecretsDir: string;
  /** Contracts declared by the host's owner. */
  readonly contractsDir: string;
  /** `/var/lib/holdfast`, 0700: the agent's own state. */
  readonly state: string;
  readonly keyFile: string;
  /** The host's age key, which opens what is sealed to it. */
  readonly ageKeyFile: string;
  /** Whose recovery kit root has granted. */
  readonly recoveryFile: string;
  readonly assignmentFile: string;
  /** A second copy: if the disk damages one file, the other is used. */
  readonly assignmentCopy: string;
  /** The assignment as far as root granted it. */
  readonly inForceFile: string;
  /** What root granted, and what waits for root. */
  readonly grantsFile: string;
  readonly waitingFile: string;
  readonly ordersDir: string;
  /** The newest entry of the control plane's audit that this host was shown. */
  readonly chainHeadFile: string;
  readonly spoolDir: string;
  readonly bindingsDir: string;
  readonly repositoriesDir: string;
  readonly secretsDir: string;
  readonly locksDir: string;
  /** What restores write before it is put in place, and the replaced files they keep. */
  readonly asideDir: string;
  /** Last valid contents of contractsDir, and the control plane's faults for them. */
  readonly contractsFile: string;
  /** Ids of the agent's processes, by which a copy of this disk is noticed. */
  readonly instanceFile: string;
  readonly cache: string;
  /** The daemon's process and connection, for `status` and `doctor`. */
  readonly daemonFile: string;
  /** `/run/holdfast`: what is gone after a restart of the machine. */
  readonly runtime: string;
  /** Where scheduled and ordered backups are handed over to their units. */
  readonly handOverDir: string;
  /** Installed by install.sh. */
  readonly binary: string;
  readonly unit: string;
  /** Where the restore script of each binding is written, and the unit that runs one backup: see daemon/scripts.ts. */
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
    etcSecretsDir: join(etc, "secrets"),
    contractsDir: join(etc, "contracts.d"),
    state,
    keyFile: join(state, "host.key"),
    ageKeyFile: join(state, "age.key"),
    recoveryFile: join(state, "recovery.json"),
    assignmentFile: join(state, "assignment.jws"),
    assignmentCopy: join(state, "assignment.copy.jws"),
    inForceFile: join(state, "in-force.json"),
    grantsFile: join(state, "grants.json"),
    waitingFile: join(state, "waiting.json"),
    ordersDir: join(state, "orders"),
    chainHeadFile: join(state, "chain-head.json"),
    spoolDir: join(state, "spool"),
    bindingsDir: join(state, "bindings"),
    repositoriesDir: join(state, "repositories"),
    secretsDir: join(state, "secrets"),
    locksDir: join(state, "locks"),
    asideDir: join(state, "restores"),
    contractsFile: join(state, "contracts.json"),
    instanceFile: join(state, "instance.json"),
    cache: join("/", root, "var/cache/holdfast"),
    daemonFile: join(state, "daemon.json"),
    runtime: join("/", root, "run/holdfast"),
    handOverDir: join("/", root, "run/holdfast/backups"),
    binary: join("/", root, "usr/local/bin/holdfast-agent"),
    unit: join("/", root, "etc/systemd/system/holdfast-agent.service"),
    scriptsDir: join("/", root, "usr/local/bin"),
    backupUnit: join("/", root, "etc/systemd/system/holdfast-backup@.service"),
  };
}

/** agent.json: which control plane this host belongs to. Written by `enroll`; holds no secret. */
export const AgentConfig = z.strictObject({
  url: z.url({ protocol: /^https?$/ }),
  host: Id,
  name: Name,
  audience: z.string(),
  controlKey: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  /** Announced by the present key: it takes its place with the first assignment that it signs. */
  nextControlKey: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/)
    .optional(),
});
export type AgentConfig = z.infer<typeof AgentConfig>;

/** @returns null when this host is not enrolled @throws when the file is not what `enroll` writes */
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

/** Creates a directory that others may read: the agent's own umask must not lock out those who run what is in it. */
export async function makeReadableDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await chmod(made, 0o755);
}
