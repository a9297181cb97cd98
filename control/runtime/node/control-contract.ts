import { mkdir } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { Binding } from "../../../shared/binding.ts";
import { Contract } from "../../../shared/contract.ts";
import type { Id } from "../../../shared/ids.ts";
import { Repository } from "../../../shared/repository.ts";
import type { Client } from "./api-client.ts";
import { databaseFile, type NodeConfig } from "./config.ts";
import { programFiles } from "./dist.ts";
import { readTextIfExists, writeFileAtomically } from "../../../shared/node/files.ts";
import { agentRoot } from "./local-agent.ts";

/** The name of the control plane's own contract, on any host. */
export const CONTRACT = "control-plane";
const REPOSITORY = "local";
const BEFORE = "control-database";
const AFTER = "control-database-remove";

/** Retries, because the agent keeps running: a temporary file may disappear while cp copies. */
const COPY = [
  "copy() {",
  '  [ -e "$1" ] || return 0',
  '  mkdir -p "$(dirname "$2")"',
  "  for _ in 1 2 3 4 5; do",
  '    rm -rf "$2"',
  '    if cp -a "$1" "$2"; then return 0; fi',
  "    sleep 0.2",
  "  done",
  "  return 1",
  "}",
];

/** The control plane's own binding and its repository. */
export interface FirstContract {
  readonly binding: Binding;
  readonly repository: Repository;
}

/** Files of this machine's agent that are backed up too: its key, its owner's configuration, and its passphrases. */
const AGENT_STATE = [
  "etc/holdfast",
  ...["host.key", "secrets", "repositories", "bindings", "contracts.json"].map((name) => `var/lib/holdfast/${name}`),
];

/**
 * Writes the two named hooks into the agent's hooks.d. One makes a consistent copy of the database, the signing key
 * (without it every host would have to enrol again) and the state of this machine's agent. The other removes the
 * copies.
 */
export async function writeControlHooks(config: NodeConfig): Promise<void> {
  const database = databaseFile(config);
  if (database === null) return;
  const hooks = join(agentRoot(config.dataDir), "etc/holdfast/hooks.d");
  await mkdir(hooks, { recursive: true, mode: 0o755 });
  const staging = stagingDirectory(config);
  const key =
    config.signingKey === undefined ? [[join(config.dataDir, "signing.key"), join(staging, "signing.key")]] : [];
  const copyDatabase = [
    process.execPath,
    programFiles.holdfast,
    "copy-database",
    database,
    join(staging, "control.db"),
  ];
  const agent = AGENT_STATE.map((path) => {
    const [from, to] = [join(agentRoot(config.dataDir), path), join(staging, "agent", path)];
    return `copy ${quoted(from)} ${quoted(to)}`;
  });
  const clear = `rm -rf ${["control.db", "control.db.new", "signing.key", "agent"].map((name) => quoted(join(staging, name))).join(" ")}`;
  await writeScriptIfChanged(join(hooks, BEFORE), [
    "umask 077",
    `mkdir -p ${quoted(staging)}`,
    clear,
    ...key.map((paths) => `cp ${paths.map(quoted).join(" ")}`),
    copyDatabase.map(quoted).join(" "),
    // After the database: every repository in it then has its passphrase in the copy.
    ...COPY,
    ...agent,
  ]);
  await writeScriptIfChanged(join(hooks, AFTER), [clear]);
}

/**
 * Creates the control plane's own contract, repository and binding through the API. Existing ones of the same name
 * stay.
 * @returns null when the database is on a server, which has its own backup
 */
export async function declareControlPlane(client: Client, config: NodeConfig, host: Id): Promise<FirstContract | null> {
  if (databaseFile(config) === null) return null;
  const contract =
    (await client.list(Contract, "/contracts", { host, name: CONTRACT }))[0] ??
    (await client.ask(Contract, "POST", "/contracts", {
      host,
      name: CONTRACT,
      request: {
        user: userInfo().username,
        sourceDirectories: [stagingDirectory(config)],
        hooks: { beforeBackup: [BEFORE], afterBackup: [AFTER] },
      },
    }));
  const repository =
    (await client.list(Repository, "/repositories", { name: REPOSITORY }))[0] ??
    (await client.ask(Repository, "POST", "/repositories", {
      name: REPOSITORY,
      provider: "restic",
      location: join(config.dataDir, "repository"),
      passphrase: { generate: true },
    }));
  const binding =
    (await client.list(Binding, "/bindings", { contract: contract.id, repository: repository.id }))[0] ??
    (await client.ask(Binding, "POST", "/bindings", { contract: contract.id, repository: repository.id }));
  return { binding, repository };
}

/** Where the hooks put the copies to back up. */
export function stagingDirectory({ dataDir }: NodeConfig): string {
  return join(dataDir, "backup");
}

async function writeScriptIfChanged(file: string, lines: string[]): Promise<void> {
  const text = [
    "#!/bin/sh -eu",
    "# Written by `holdfast start`, which writes it again when it is changed.",
    ...lines,
    "",
  ].join("\n");
  if ((await readTextIfExists(file)) !== text) await writeFileAtomically(file, text, 0o755);
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
