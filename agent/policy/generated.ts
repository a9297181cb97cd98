import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { AssignedRepository } from "../../shared/assignment.ts";
import { createFileAtomically, readTextIfExists, syncDirectory, writeFileAtomically } from "../../shared/node/files.ts";
import { SecretPlace } from "../../shared/sealed-secret.ts";
import type { Paths } from "../config.ts";
import { runError } from "../run-error.ts";
import { peekState, writeState } from "../system/state-file.ts";
import { PolicyError } from "./check.ts";

const PASSPHRASE_BYTES = 32;
const StoredLocation = z.object({ location: z.string() });

export type GeneratedPaths = Pick<Paths, "secretsDir" | "repositoriesDir">;

/** Reads the passphrase that this host generated for a repository. @returns null when there is none yet */
export async function readGenerated(paths: GeneratedPaths, repository: AssignedRepository): Promise<string | null> {
  const kept = (await readTextIfExists(passphraseFile(paths, repository)))?.trim();
  if (kept === undefined) return null;
  if (kept === "") throw lostPassphrase(paths, repository);
  await checkPlace(paths, repository);
  return kept;
}

/** Generates a repository's passphrase, for the place where the repository is now. Of two callers, both get one. */
export async function generatePassphrase(
  { paths, random }: { paths: GeneratedPaths; random: (bytes: number) => Uint8Array },
  repository: AssignedRepository,
): Promise<string> {
  // The place comes first: no passphrase is without one, whenever the host fails.
  await checkPlace(paths, repository);
  const passphrase = Buffer.from(random(PASSPHRASE_BYTES)).toString("base64url");
  if (await createFileAtomically(passphraseFile(paths, repository), `${passphrase}\n`)) return passphrase;
  // Another process generated it first: use that one.
  return (await readGenerated(paths, repository)) ?? passphrase;
}

/** Where a rotation stands: each of them may be the one that opens the repository. */
export interface GeneratedPassphrases {
  readonly current: string;
  /** Made, and not yet switched to. */
  readonly next: string | null;
  /** Switched from, and not yet known to be useless. */
  readonly old: string | null;
}

/** @throws `secret.unreadable` when there is none */
export async function generatedPassphrases(
  paths: GeneratedPaths,
  repository: AssignedRepository,
): Promise<GeneratedPassphrases> {
  const current = await readGenerated(paths, repository);
  if (current === null) throw lostPassphrase(paths, repository);
  const file = passphraseFile(paths, repository);
  const [next, old] = await Promise.all(
    [`${file}.next`, `${file}.old`].map(async (one) => (await readTextIfExists(one))?.trim() || null),
  );
  return { current, next: next ?? null, old: old ?? null };
}

/** Generates the passphrase to switch to. @returns it, durable already */
export async function beginRotation(
  { paths, random }: { paths: GeneratedPaths; random: (bytes: number) => Uint8Array },
  repository: AssignedRepository,
): Promise<string> {
  const next = Buffer.from(random(PASSPHRASE_BYTES)).toString("base64url");
  await writeFileAtomically(`${passphraseFile(paths, repository)}.next`, `${next}\n`);
  return next;
}

/** From now on the next one is the current one; the one before is kept aside. */
export async function switchPassphrase(paths: GeneratedPaths, repository: AssignedRepository): Promise<void> {
  const file = passphraseFile(paths, repository);
  await createFileAtomically(`${file}.old`, `${(await generatedPassphrases(paths, repository)).current}\n`);
  await rename(`${file}.next`, file);
  await syncDirectory(paths.secretsDir);
}

/** The one before is useless now. */
export async function endRotation(paths: GeneratedPaths, repository: AssignedRepository): Promise<void> {
  await rm(`${passphraseFile(paths, repository)}.old`, { force: true });
  await syncDirectory(paths.secretsDir);
}

export function lostPassphrase(paths: GeneratedPaths, repository: AssignedRepository): Error {
  const file = passphraseFile(paths, repository);
  return runError(
    "secret.unreadable",
    `the passphrase made for repository "${repository.name}" is gone: ${file} is missing or empty`,
    `Put the passphrase back into ${file} from a copy. A new one can't open the repository, so none is made.`,
  );
}

/**
 * A generated passphrase is for one place alone: whoever runs the control plane can't have it sent to another under the
 * same id. A passphrase of an older version is bound now: to where the repository was last opened, if it ever was.
 * @throws PolicyError for another place
 */
async function checkPlace(paths: GeneratedPaths, { id, name, provider, location }: AssignedRepository): Promise<void> {
  const file = join(paths.secretsDir, `${id}.place`);
  const stored = await peekState(file, SecretPlace);
  if (stored === "damaged") {
    throw runError(
      "secret.unreadable",
      `${file}, which says where the passphrase of repository "${name}" may be used, is damaged`,
      `If ${location} is where that repository is, remove ${file}.`,
    );
  }
  const place = stored === "none" ? { provider, location: (await lastLocation(paths, id)) ?? location } : stored.value;
  if (place.provider !== provider || place.location !== location) {
    throw new PolicyError(
      "policy.repositories",
      `the passphrase of repository "${name}" was made for ${place.provider} at ${place.location}: it is not used for ${provider} at ${location}`,
    );
  }
  if (stored === "none") await writeState(file, place);
}

async function lastLocation(paths: GeneratedPaths, id: string): Promise<string | null> {
  const found = await peekState(join(paths.repositoriesDir, `${id}.json`), StoredLocation);
  return typeof found === "string" ? null : found.value.location;
}

function passphraseFile(paths: GeneratedPaths, { id }: AssignedRepository): string {
  return join(paths.secretsDir, id);
}
