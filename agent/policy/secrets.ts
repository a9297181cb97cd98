import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { AssignedRepository } from "../../shared/assignment.ts";
import { messageOf } from "../../shared/error-message.ts";
import { SecretName } from "../../shared/repository.ts";
import type { Paths } from "../config.ts";
import { createFileAtomically, readTextIfExists } from "../../shared/node/files.ts";
import { runError } from "../run-error.ts";

/** The secrets of a repository. Never logged, never in argv, never sent anywhere but to the engine. */
export interface RepositorySecrets {
  readonly passphrase: string;
  /** Credentials of the storage, by the name of the environment variable the engine reads. */
  readonly env: Readonly<Record<string, string>>;
}

const PASSPHRASE_BYTES = 32;
const MAX_SECRET_CHARACTERS = 65_536;
/** Stored like a secret, but none: hiding it would only garble the log. */
const NOT_SECRET: readonly SecretName[] = ["AWS_DEFAULT_REGION"];

interface SecretsInput {
  readonly repository: AssignedRepository;
  /** The repository has been used before: a lost passphrase must not be replaced by a new one. */
  readonly wasSeen: boolean;
  /** Whether a passphrase may be generated now. */
  readonly mayGenerate: boolean;
}

/** Reads the secrets of a repository. Generates the passphrase once, if it may. @throws `secret.unreadable` */
export async function readSecrets(
  deps: { paths: Pick<Paths, "secretsDir">; random: (bytes: number) => Uint8Array },
  input: SecretsInput,
): Promise<RepositorySecrets> {
  const { repository } = input;
  const passphrase =
    "file" in repository.passphrase
      ? await readSecretFile(repository.passphrase.file, `the passphrase of repository "${repository.name}"`)
      : await readGenerated(deps, input);
  const env: Record<string, string> = {};
  for (const name of SecretName.options) {
    const source = repository.secrets[name];
    if (source !== undefined)
      env[name] = await readSecretFile(source.file, `${name} of repository "${repository.name}"`);
  }
  return { passphrase, env };
}

/** The values to redact wherever text is shown. */
export function secretValues({ passphrase, env }: RepositorySecrets): string[] {
  const named = SecretName.options.filter((name) => !NOT_SECRET.includes(name));
  return [passphrase, ...named.flatMap((name) => env[name] ?? [])];
}

async function readGenerated(
  { paths, random }: { paths: Pick<Paths, "secretsDir">; random: (bytes: number) => Uint8Array },
  { repository, wasSeen, mayGenerate }: SecretsInput,
): Promise<string> {
  const file = join(paths.secretsDir, repository.id);
  const kept = (await readTextIfExists(file))?.trim();
  if (kept !== undefined && kept !== "") return kept;
  if (wasSeen || repository.existing || kept === "") {
    throw runError(
      "secret.unreadable",
      `the passphrase made for repository "${repository.name}" is gone: ${file} is missing or empty`,
      `Put the passphrase back into ${file} from a copy. A new one can't open the repository, so none is made.`,
    );
  }
  if (!mayGenerate) {
    throw runError(
      "secret.unreadable",
      `repository "${repository.name}" has no passphrase yet: its first backup makes it`,
      "Run the binding's first backup.",
    );
  }
  const passphrase = Buffer.from(random(PASSPHRASE_BYTES)).toString("base64url");
  if (await createFileAtomically(file, `${passphrase}\n`)) return passphrase;
  // Another process generated it first: use that one.
  return await readSecretFile(file, `the passphrase of repository "${repository.name}"`);
}

async function readSecretFile(file: string, what: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw runError("secret.unreadable", `${what} can't be read from ${file}: ${reasonOf(error)}`);
  }
  const secret = text.replace(/[\r\n]+$/, "");
  if (secret === "") throw runError("secret.unreadable", `${what}: ${file} is empty`);
  // A file of several lines is no secret, and a newline is not allowed in a variable or a header.
  if (secret.length > MAX_SECRET_CHARACTERS || /[\0\r\n]/.test(secret)) {
    throw runError("secret.unreadable", `${what}: ${file} must hold the secret alone, on one line`);
  }
  return secret;
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return "there is no such file";
  if (code === "EACCES") return "permission denied";
  return messageOf(error);
}
