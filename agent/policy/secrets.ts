import type { AssignedRepository } from "../../shared/assignment.ts";
import type { Environment } from "../../shared/environment.ts";
import { messageOf } from "../../shared/error-message.ts";
import { isRecord, parseJson } from "../../shared/json.ts";
import { type CredentialSource, NOT_SECRET, SecretName } from "../../shared/secret-source.ts";
import { openSealedSecret, type SealedName } from "../../shared/sealed-secret.ts";
import type { Paths } from "../config.ts";
import { runError } from "../run-error.ts";
import { readAgeKey } from "./age-key.ts";
import { PolicyError } from "./check.ts";
import { openSecretFile, secretPlaceFault } from "./secret-place.ts";
import {
  generatedPassphrases,
  generatePassphrase,
  lostPassphrase,
  readGenerated,
  type GeneratedPaths,
} from "./generated.ts";

/** The secrets of a repository. Never logged, never in argv, never sent anywhere but to the engine. */
export interface RepositorySecrets {
  readonly passphrase: string;
  /** While the passphrase is being rotated: what may open the repository if that one does not. */
  readonly others?: readonly string[];
  /** Credentials of the storage, by the name of the environment variable the engine reads. */
  readonly env: Readonly<Record<string, string>>;
}

const MAX_SECRET_CHARACTERS = 65_536;
/** Of a file that is read at all. */
const MOST_BYTES = 1_048_576;

interface SecretsInput {
  readonly repository: AssignedRepository;
  /** The repository has been used before: a lost passphrase must not be replaced by a new one. */
  readonly wasSeen: boolean;
  /** Whether a passphrase may be generated now. */
  readonly mayGenerate: boolean;
}

interface SecretsDeps {
  readonly paths: GeneratedPaths & Pick<Paths, "ageKeyFile">;
  readonly random: (bytes: number) => Uint8Array;
}

/**
 * Reads the secrets of a repository, each from where it comes from. Generates the passphrase once, if it may. Sealed
 * ones are opened in memory only.
 * @throws `secret.unreadable`; PolicyError when a secret is for another place
 */
export async function readSecrets(deps: SecretsDeps, input: SecretsInput): Promise<RepositorySecrets> {
  const { repository } = input;
  const passphrase =
    "generate" in repository.passphrase
      ? await generatedPassphrase(deps, input)
      : await readCredential(deps, { repository, name: "passphrase", source: repository.passphrase });
  const others = "generate" in repository.passphrase ? await othersInRotation(deps, repository) : [];
  const env: Record<string, string> = {};
  for (const name of SecretName.options) {
    const source = repository.secrets[name];
    if (source === undefined) continue;
    const value = await readCredential(deps, { repository, name, source });
    env[name] = name === ACCOUNT_FILE ? readAccount(value, repository) : value;
  }
  return { passphrase, others, env };
}

/** The values to redact wherever text is shown. */
export function secretValues({ passphrase, others = [], env }: RepositorySecrets): string[] {
  const named = SecretName.options.filter((name) => !NOT_SECRET.includes(name));
  return [passphrase, ...others, ...named.flatMap((name) => env[name] ?? [])];
}

/**
 * Reads secrets for hooks, each from where it comes from. A sealed one was sealed for the binding's repository.
 * @throws `secret.unreadable`; PolicyError when a secret is for another place
 */
export async function readEnvironment(
  deps: Pick<SecretsDeps, "paths">,
  { environment, repository }: { environment: Environment; repository: SecretOwner },
): Promise<Record<string, string>> {
  const env: Record<string, string> = {};
  for (const [name, source] of Object.entries(environment)) {
    const what = `${name} for hooks`;
    if ("file" in source) await checkSecretPlace(source.file, what);
    env[name] =
      "file" in source
        ? await readSecretFile(source.file, { what, isLines: false })
        : await readCredential(deps, { repository, name, source });
  }
  return env;
}

async function checkSecretPlace(file: string, what: string): Promise<void> {
  const fault = await secretPlaceFault(file).catch(
    (error: unknown) => `it can't be read from ${file}: ${reasonOf(error)}`,
  );
  if (fault !== null) throw runError("secret.unreadable", `${what}: ${fault}`);
}

/** Of a variable that holds the path of a file for the engine; here it holds the file's text, on one line. */
const ACCOUNT_FILE = "GOOGLE_APPLICATION_CREDENTIALS";
/** Kinds of credentials that name neither a file to send nor a program to run. */
const ACCOUNT_KINDS: readonly unknown[] = ["service_account", "authorized_user"];
/** All keys that Google writes. For restic, which is written in Go, `Type` is `type` too, and the last one counts. */
const PLAIN_KEY = /^[a-z0-9_]+$/;

/** @throws `secret.unreadable` unless it is such a file */
function readAccount(text: string, { name }: SecretOwner): string {
  const account = parseJson(text);
  const isPlain = isRecord(account) && Object.keys(account).every((key) => PLAIN_KEY.test(key));
  if (isPlain && ACCOUNT_KINDS.includes(account["type"])) return JSON.stringify(account);
  throw runError(
    "secret.unreadable",
    `${ACCOUNT_FILE} of repository "${name}" is not the JSON of a service account or of an authorized user`,
    "Name the JSON file itself, as Google gives it, not a file that holds its path.",
  );
}

async function generatedPassphrase(
  deps: SecretsDeps,
  { repository, wasSeen, mayGenerate }: SecretsInput,
): Promise<string> {
  const kept = await readGenerated(deps.paths, repository);
  if (kept !== null) return kept;
  if (wasSeen || repository.existing) throw lostPassphrase(deps.paths, repository);
  if (mayGenerate) return await generatePassphrase(deps, repository);
  throw runError(
    "secret.unreadable",
    `repository "${repository.name}" has no passphrase yet: its first backup makes it`,
    "Run the binding's first backup.",
  );
}

async function othersInRotation({ paths }: SecretsDeps, repository: AssignedRepository): Promise<string[]> {
  const { current, next, old } = await generatedPassphrases(paths, repository);
  return [next, old].filter((one) => one !== null && one !== current).flatMap((one) => one ?? []);
}

/** What a sealed secret is sealed for. */
export type SecretOwner = Pick<AssignedRepository, "name" | "provider" | "location">;

interface Credential {
  readonly repository: SecretOwner;
  readonly name: SealedName;
  readonly source: CredentialSource;
}

async function readCredential(
  { paths }: Pick<SecretsDeps, "paths">,
  { repository, name, source }: Credential,
): Promise<string> {
  const what = `${name === "passphrase" ? "the passphrase" : name} of repository "${repository.name}"`;
  if ("file" in source) return await readSecretFile(source.file, { what, isLines: name === ACCOUNT_FILE });
  const key = await ageKey(paths, what);
  const secret = await openSealedSecret(key, source.sealed);
  if (secret === null) {
    throw runError(
      "secret.unreadable",
      `${what} is not sealed to this host, or was changed since`,
      `Seal it again to every host that uses the repository: holdfast seal --repository ${repository.name} --name ${name} --host HOST…`,
    );
  }
  const { provider, location } = repository;
  if (secret.for.provider === provider && secret.for.location === location && secret.name === name) return secret.value;
  throw new PolicyError(
    "policy.repositories",
    `${what} was sealed as ${secret.name} of ${secret.for.provider} at ${secret.for.location}: it is not used for ${provider} at ${location}`,
  );
}

async function ageKey(paths: Pick<Paths, "ageKeyFile">, what: string): Promise<string> {
  try {
    const key = await readAgeKey(paths);
    if (key !== null) return key;
  } catch (error) {
    throw runError("secret.unreadable", `${what} is sealed, and can't be opened: ${messageOf(error)}`);
  }
  throw runError(
    "secret.unreadable",
    `${what} is sealed, and ${paths.ageKeyFile}, the key that opens it, is not there`,
    "Put the key back from a copy; or let the agent start, which makes a new one, and seal the secret again.",
  );
}

async function readSecretFile(file: string, { what, isLines }: { what: string; isLines: boolean }): Promise<string> {
  let text: string | null;
  try {
    text = await readSmallFile(file);
  } catch (error) {
    throw runError("secret.unreadable", `${what} can't be read from ${file}: ${reasonOf(error)}`);
  }
  const secret = text?.replace(/[\r\n]+$/, "") ?? null;
  if (secret === "") throw runError("secret.unreadable", `${what}: ${file} is empty`);
  // A file of several lines is no secret, and a newline is not allowed in a variable or a header.
  if (secret === null || secret.length > MAX_SECRET_CHARACTERS || (isLines ? /\0/ : /[\0\r\n]/).test(secret)) {
    throw runError("secret.unreadable", `${what}: ${file} must hold the secret alone, on one line`);
  }
  return secret;
}

/** @returns null for what is no file, or larger than any secret */
async function readSmallFile(path: string): Promise<string | null> {
  const file = await openSecretFile(path);
  try {
    const status = await file.stat();
    return status.isFile() && status.size <= MOST_BYTES ? await file.readFile("utf8") : null;
  } finally {
    await file.close();
  }
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return "there is no such file";
  if (code === "EACCES") return "permission denied";
  return messageOf(error);
}
