import { mkdir, stat } from "node:fs/promises";
import { newAgeKey, recipientOf } from "../../shared/age.ts";
import { messageOf } from "../../shared/error-message.ts";
import { createFileAtomically, readTextIfExists } from "../../shared/node/files.ts";
import type { Paths } from "../config.ts";

type KeyPaths = Pick<Paths, "state" | "ageKeyFile">;

/**
 * The recipient of this host's age key, which is made when there is none. Never replaces a key: what was sealed to it
 * could not be opened any more.
 * @throws an Error when the file is damaged, or others may read it
 */
export async function recipientOfHost(paths: KeyPaths): Promise<string> {
  const known = await readAgeKey(paths);
  if (known !== null) return await recipientOf(known);
  await mkdir(paths.state, { recursive: true, mode: 0o700 });
  const made = await newAgeKey();
  if (await createFileAtomically(paths.ageKeyFile, `${made}\n`)) return await recipientOf(made);
  // Another process made it first: use that one.
  return await recipientOfHost(paths);
}

/** As recipientOfHost, but changes nothing. @returns null when there is no key, or it can't be used */
export async function readRecipient(paths: KeyPaths): Promise<string | null> {
  const key = await readAgeKey(paths).catch(() => null);
  return key === null ? null : await recipientOf(key);
}

/** @returns `AGE-SECRET-KEY-1…`, null when there is none yet @throws as recipientOfHost */
export async function readAgeKey({ ageKeyFile }: Pick<Paths, "ageKeyFile">): Promise<string | null> {
  const text = await readTextIfExists(ageKeyFile);
  if (text === null) return null;
  const mode = (await stat(ageKeyFile)).mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw new Error(
      `${ageKeyFile} can be read by others (mode 0${mode.toString(8)}): if nobody else had access, chmod 600 it; ` +
        "else move it away, and seal this host's secrets again",
    );
  }
  const key = text.trim();
  try {
    await recipientOf(key);
    return key;
  } catch (error) {
    throw new Error(
      `${ageKeyFile} is no age key (${messageOf(error)}): put it back from a copy, or move it away and seal this host's secrets again`,
      { cause: error },
    );
  }
}
