import { copyFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { readSigningKey } from "../../auth/signing-key.ts";
import type { SigningKey } from "../../deps.ts";
import { type RemadeRows, remakeRows, type RowDeps } from "../../domain/service/row-protection.ts";
import { createFileAtomically, readTextIfExists, syncDirectory } from "../../../shared/node/files.ts";
import { makeSigningKey, signingKeyFile } from "./signing-key.ts";

/**
 * Reads the key that will take the signing key's place.
 * @param given value of HOLDFAST_NEXT_SIGNING_KEY; then no file is read
 * @returns null when none is prepared
 */
export async function readNextSigningKey(directory: string, given: string | undefined): Promise<SigningKey | null> {
  if (given !== undefined) return await readSigningKey(given, "HOLDFAST_NEXT_SIGNING_KEY");
  const file = nextFile(directory);
  const text = await readTextIfExists(file);
  return text === null ? null : await readSigningKey(text, file);
}

/** Makes the next key, unless one is prepared already. @returns it */
export async function prepareNextSigningKey(directory: string): Promise<SigningKey> {
  await createFileAtomically(nextFile(directory), `${await makeSigningKey()}\n`);
  const next = await readNextSigningKey(directory, undefined);
  if (next === null) throw new Error(`${nextFile(directory)} was removed just now`);
  return next;
}

/** Forgets the next key. Hosts that have pinned it keep it pinned until the next one that they accept. */
export async function dropNextSigningKey(directory: string): Promise<void> {
  await rm(nextFile(directory), { force: true });
}

type SwitchDeps = Omit<RowDeps, "signingKey">;

/**
 * Makes the next key the signing key: first every row's MAC and every sealed secret is made again, then the file is
 * replaced in one step. A start after a crash finishes what has begun. Nothing else may write meanwhile.
 */
export async function switchSigningKey(deps: SwitchDeps, directory: string): Promise<RemadeRows> {
  await createFileAtomically(beginFile(directory), "The signing key is being replaced: the next start finishes it.\n");
  return await finishSwitch(deps, directory);
}

/** Finishes a switch that was cut off. Before the signing key is read. */
export async function finishSwitchIfBegun(deps: SwitchDeps, directory: string): Promise<void> {
  if ((await readTextIfExists(beginFile(directory))) === null) return;
  await finishSwitch(deps, directory);
  deps.log.info("a switch to the next signing key was cut off, and is done now");
}

async function finishSwitch(deps: SwitchDeps, directory: string): Promise<RemadeRows> {
  const next = await readNextSigningKey(directory, undefined);
  let remade: RemadeRows = { remade: 0, tampered: [] };
  // Without it, the file was replaced already.
  if (next !== null) {
    const file = signingKeyFile(directory);
    const from = await readSigningKey((await readTextIfExists(file)) ?? "", file);
    remade = await remakeRows(deps, { from, to: next });
    await copyFile(file, `${file}.old`);
    await rename(nextFile(directory), file);
    await syncDirectory(directory);
  }
  await rm(beginFile(directory), { force: true });
  return remade;
}

function nextFile(directory: string): string {
  return join(directory, "signing.key.next");
}

function beginFile(directory: string): string {
  return join(directory, "signing.key.switching");
}
