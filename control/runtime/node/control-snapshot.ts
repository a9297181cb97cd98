import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { readTextIfExists } from "../../../shared/node/files.ts";
import type { RecoveryKey, SnapshotRequest } from "../../../shared/recovery-key.ts";
import { Maintenance } from "../../../shared/repository.ts";
import { SecretName } from "../../../shared/secret-source.ts";
import { SnapshotFacts } from "../../../shared/run.ts";
import { programFiles } from "./dist.ts";

/** A control plane's snapshot, fetched to this disk. */
export interface FetchedSnapshot {
  readonly facts: SnapshotFacts;
  /** The directory with the hooks' copies. */
  readonly files: string;
}

/**
 * Fetches a snapshot of the control plane with its recovery key. The agent program does it, because only agents run
 * restic and borg.
 * @param work a directory of this process; the secrets for the agent are written below it
 * @throws Error with the agent's message
 */
export async function fetchControlSnapshot(
  key: RecoveryKey,
  { location, snapshot, work }: { location: string; snapshot: string; work: string },
): Promise<FetchedSnapshot> {
  const target = join(work, "files");
  const secrets = await writeSecrets(key, join(work, "keys"));
  const { id, name, provider, engineId, hostKey } = key.repository;
  const request: SnapshotRequest = {
    host: key.host,
    binding: key.binding,
    snapshot,
    target,
    repository: {
      id,
      name,
      provider,
      location,
      engineId,
      appendOnly: false,
      existing: true,
      maintains: false,
      passphrase: secrets.passphrase,
      secrets: secrets.named,
      caFile: secrets.certificates,
      ssh: { identityFile: secrets.identity, hostKey },
      maintenance: Maintenance.parse({}),
    },
  };
  const facts = SnapshotFacts.parse(JSON.parse(await runAgentFetch(request, join(work, "agent"))));
  const [path] = facts.paths;
  if (path === undefined) throw new Error(`snapshot ${facts.id.slice(0, 8)} does not say what it holds`);
  return { facts, files: join(target, path) };
}

/** Writes the secrets into private files. @returns their paths */
async function writeSecrets(key: RecoveryKey, directory: string) {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const put = async (name: string, secret: string): Promise<string> => {
    const file = join(directory, name);
    await writeFile(file, secret, { mode: 0o600 });
    return file;
  };
  const named: Partial<Record<SecretName, { file: string }>> = {};
  for (const name of SecretName.options) {
    const secret = key.secrets[name];
    if (secret !== undefined) named[name] = { file: await put(name, secret) };
  }
  return {
    passphrase: { file: await put("passphrase", key.passphrase) },
    named,
    identity: key.identity === null ? null : await put("identity", key.identity),
    certificates: key.certificates === null ? null : await put("certificates", key.certificates),
  };
}

async function runAgentFetch(request: SnapshotRequest, root: string): Promise<string> {
  await mkdir(join(root, "var/lib/holdfast"), { recursive: true, mode: 0o700 });
  const inherited = Object.entries(process.env).filter(([name]) => !/^HOLDFAST_(?!RESTIC$|BORG$)/.test(name));
  const child = spawn(process.execPath, [programFiles.agent, "fetch-snapshot"], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...Object.fromEntries(inherited), HOLDFAST_AGENT_ROOT: root },
  });
  // An agent that exits before it reads its input reports the reason on stderr.
  child.stdin.on("error", () => undefined).end(JSON.stringify(request));
  const [output, errorOutput, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  if (status !== 0) throw new Error(errorOutput.trim() || `the agent ended with status ${String(status)}`);
  return output;
}

/** @returns null when there is no such file in the snapshot */
export async function fileOf({ files }: FetchedSnapshot, name: string): Promise<string | null> {
  return await readTextIfExists(join(files, name));
}
