import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Host } from "../../shared/host.ts";
import type { Id } from "../../shared/ids.ts";
import type { Run, Snapshot } from "../../shared/run.ts";
import { isLoopback, type NodeConfig } from "../runtime/node/config.ts";
import type { FirstContract } from "../runtime/node/control-contract.ts";
import { agentRoot } from "../runtime/node/local-agent.ts";
import { isRecoveryKeyTaken } from "../runtime/node/recovery-key.ts";

/** What `start` prints once everything runs. */
export interface Started {
  readonly config: NodeConfig;
  readonly url: string;
  readonly token: { token: string; file: string };
  readonly host: Host;
  /** Null when the database is on a server. */
  readonly first: FirstContract | null;
  readonly snapshot: Snapshot | null;
  /** The first backup, if this start ran it and it failed. */
  readonly failed: Run | null;
  /** Whether the install command has an agent package to download. */
  readonly hasAgentFiles: boolean;
  /** The install command for another machine. */
  readonly command: string;
}

/** The output of `npm start`: about a dozen lines. */
export async function startLines(started: Started): Promise<string> {
  const { config, url, token, host, command, hasAgentFiles } = started;
  const rows: [string, string][] = [
    ["Control plane", `${url}  (state in ${config.dataDir})`],
    ["API token", `${token.token}  (stored in ${token.file})`],
    ["Host", `${host.name}  (this machine)`],
    ...(await backupRows(started)),
    ...(isLoopback(url) ? loopbackRows(config, url) : []),
    hasAgentFiles
      ? ["Another host", "paste this line there, with the space it begins with, which keeps it out of the history:"]
      : ["Another host", "No agent package yet: run `npm run package`, then start again."],
  ];
  return [
    "Holdfast is running. Ctrl-C stops it.",
    ...rows.map(([name, text]) => `  ${name.padEnd(15)}${text}`),
    ...(hasAgentFiles ? ["", command] : []),
    "",
  ].join("\n");
}

async function backupRows({ config, first, snapshot, failed }: Started): Promise<[string, string][]> {
  if (first === null) {
    return [
      [
        "Backup",
        `none of the control plane itself: its database is at ${config.databaseUrl}, which must be backed up there`,
      ],
    ];
  }
  const { binding, repository } = first;
  const secret = await passphraseFile(config, repository.id);
  const rows: [string, string][] = [
    ["Repository", `${repository.location}  (the control plane's own database, ${binding.name})`],
  ];
  if (failed !== null)
    rows.push(["Backup FAILED", failed.failure?.message ?? failed.state], ["", failed.failure?.next ?? ""]);
  if (failed?.failure?.code === "engine.missing")
    rows.push(["", "On Debian and Ubuntu, type: sudo apt-get install restic"]);
  if (snapshot !== null) rows.push(["Snapshot", `${snapshot.id.slice(0, 8)}  of ${snapshot.takenAt}`]);
  rows.push(["Next run", binding.nextRunAt ?? "none: the binding is paused or not enabled"]);
  if (secret !== null) rows.push(["Passphrase", secret]);
  if (secret !== null && !(await isRecoveryKeyTaken(config.dataDir))) {
    rows.push(
      ["Recovery key", "npx holdfast recovery-key"],
      ["", "Save it on another machine: it restores all of this when the disk is lost."],
    );
  }
  return rows;
}

function loopbackRows(config: NodeConfig, url: string): [string, string][] {
  const { port } = new URL(url);
  return [
    ["", "Only this machine can reach that address. To open it to others, start with (TLS: see the README)"],
    ["", `HOLDFAST_HOST=0.0.0.0 HOLDFAST_URL=http://THIS-MACHINE:${port || config.port} npm start`],
  ];
}

/** The agent creates the passphrase at the first backup, in a file named after the repository. */
async function passphraseFile(config: NodeConfig, repository: Id): Promise<string | null> {
  const directory = join(agentRoot(config.dataDir), "var/lib/holdfast/secrets");
  const names = await readdir(directory).catch(() => []);
  const name = names.find((each) => each.startsWith(repository));
  return name === undefined ? null : join(directory, name);
}
