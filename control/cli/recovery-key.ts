import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { messageOf } from "../../shared/error-message.ts";
import { isLocalLocation } from "../../shared/location.ts";
import type { RecoveryKey } from "../../shared/recovery-key.ts";
import { Repository } from "../../shared/repository.ts";
import { type CredentialSource, SecretName } from "../../shared/secret-source.ts";
import { openSealedSecret } from "../../shared/sealed-secret.ts";
import { EXIT } from "../../shared/node/arguments.ts";
import { readSigningKey } from "../auth/signing-key.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { type NodeConfig, readConfig } from "../runtime/node/config.ts";
import { CONTRACT } from "../runtime/node/control-contract.ts";
import { agentRoot } from "../runtime/node/local-agent.ts";
import { markRecoveryKeyTaken, writeRecoveryKey } from "../runtime/node/recovery-key.ts";
import { ExitError } from "./terminal.ts";
import { defineVerb } from "./verb.ts";

/** Prints only the key on stdout, so that it can be redirected to a file. */
export const recoveryKey = defineVerb({
  name: "recovery-key",
  usage: "recovery-key [--repository NAME]",
  summary: "print the key that restores this control plane when its disk is lost; store it on another machine",
  options: { repository: { type: "string" } },
  positionals: [],
  run: async ({ values, terminal, openClient }) => {
    const config = readConfig(terminal.env);
    const client = await openClient();
    const { binding, repository } = await findControlBinding(client, config, values.repository);
    if (repository.engineId === null)
      throw new ExitError(
        EXIT.tryLater,
        `repository "${repository.name}" does not exist yet: its first backup creates it`,
      );
    const key: RecoveryKey = {
      host: binding.host,
      binding: binding.id,
      controlKey: await fingerprintOf(config),
      repository: {
        id: repository.id,
        name: repository.name,
        provider: repository.provider,
        location: repository.location,
        engineId: repository.engineId,
        hostKey: repository.ssh.hostKey,
      },
      ...(await secretsOf(config, repository)),
    };
    terminal.out(`${writeRecoveryKey(key)}\n`);
    terminal.err(
      `It opens repository "${repository.name}" (${repository.location}): store it in a password manager or on paper, away from this machine. Anyone who has it can read that repository.\n`,
    );
    if (await isOnSameDisk(config, repository)) {
      terminal.err(
        `That repository is on the same disk as ${config.dataDir} and is lost with it. Bind contract "${CONTRACT}" to a second repository elsewhere, and print the key of that one.\n`,
      );
    }
    await markRecoveryKeyTaken(config.dataDir);
    return {};
  },
});

/**
 * The binding that backs up the control plane: of the named repository, else of one on another disk, else the first.
 */
async function findControlBinding(client: Client, config: NodeConfig, name: string | undefined) {
  const contracts = await client.list(Contract, "/contracts", { name: CONTRACT });
  const bindings = (
    await Promise.all(contracts.map(({ id }) => client.list(Binding, "/bindings", { contract: id })))
  ).flat();
  const pairs = await Promise.all(
    bindings.map(async (binding) => {
      const repository = await client.ask(Repository, "GET", `/repositories/${binding.repository}`);
      return { binding, repository, isHere: await isOnSameDisk(config, repository) };
    }),
  );
  const fitting = pairs.filter(({ repository }) => name === undefined || repository.name === name);
  const found = fitting.find(({ isHere }) => !isHere) ?? fitting[0];
  if (found !== undefined) return found;
  const names = pairs.map(({ repository }) => repository.name);
  throw new ExitError(
    EXIT.failed,
    names.length === 0
      ? `this control plane is not backed up: bind a contract called "${CONTRACT}" (\`holdfast start\` creates one)`
      : `the control plane is not backed up to '${name}', but to: ${names.join(", ")}`,
  );
}

async function fingerprintOf({ dataDir, signingKey }: NodeConfig): Promise<string> {
  const file = join(dataDir, "signing.key");
  const { fingerprint } =
    signingKey === undefined
      ? await readSigningKey(await read(file), file)
      : await readSigningKey(signingKey, "HOLDFAST_SIGNING_KEY");
  return fingerprint;
}

type Secrets = Pick<RecoveryKey, "passphrase" | "secrets" | "identity" | "certificates">;

/** Reads the repository's secrets from this machine's agent, the only place that has them. */
async function secretsOf(config: NodeConfig, repository: Repository): Promise<Secrets> {
  const { passphrase, ssh, caFile } = repository;
  // The agent of `holdfast start`, or else the machine's own.
  const root = (await stat(agentRoot(config.dataDir)).catch(() => null)) === null ? "/" : agentRoot(config.dataDir);
  const generated = join(root, "var/lib/holdfast/secrets", repository.id);
  const secrets: Secrets["secrets"] = {};
  const ageKeyFile = join(root, "var/lib/holdfast/age.key");
  for (const name of SecretName.options) {
    const source = repository.secrets[name];
    if (source !== undefined) secrets[name] = await secretFrom(source, ageKeyFile);
  }
  return {
    passphrase: await secretFrom("generate" in passphrase ? { file: generated } : passphrase, ageKeyFile),
    secrets,
    identity: ssh.identityFile === null ? null : await read(ssh.identityFile),
    certificates: caFile === null ? null : await read(caFile),
  };
}

/** @param ageKeyFile of this machine's agent, to open what is sealed to it */
async function secretFrom(source: CredentialSource, ageKeyFile: string): Promise<string> {
  if ("file" in source) return (await read(source.file)).replace(/[\r\n]+$/, "");
  const opened = await openSealedSecret((await read(ageKeyFile)).trim(), source.sealed);
  if (opened !== null) return opened.value;
  throw new ExitError(EXIT.failed, "one of the repository's secrets is not sealed to this machine: seal it again");
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const why = messageOf(error);
    throw new ExitError(
      EXIT.failed,
      `the key's secrets can't be read (${why}): run this on the machine that backs up the control plane, as its agent's user`,
    );
  }
}

async function isOnSameDisk({ dataDir }: NodeConfig, { location }: Pick<Repository, "location">): Promise<boolean> {
  if (!isLocalLocation(location)) return false;
  return (await deviceOf(location)) === (await deviceOf(dataDir));
}

/** The device of a path's nearest existing directory. */
async function deviceOf(path: string): Promise<number | null> {
  for (let at = path; ; at = dirname(at)) {
    const found = await stat(at).catch(() => null);
    if (found !== null) return found.dev;
    if (at === dirname(at)) return null;
  }
}
