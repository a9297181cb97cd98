import { createHash } from "node:crypto";
import { access, rename, rm } from "node:fs/promises";
import type * as z from "zod";
import { readTextIfExists, writeFileAtomically } from "./files.ts";
import { parseJson } from "../../shared/json.ts";

/** What a damaged file's name gets at its end: it is kept for a person to look at, and no longer in the way. */
export const QUARANTINE_SUFFIX = ".unreadable";

/** Durable when it returns. What a disk does to it later is noticed when it is read. @returns how many bytes it takes */
export async function writeState(file: string, value: object): Promise<number> {
  const text = withChecksum(value);
  await writeFileAtomically(file, text);
  return Buffer.byteLength(text);
}

/** @returns null when there is no such file, or it was damaged and is set aside now; any other trouble is thrown */
export async function readState<T>(file: string, schema: z.ZodType<T>): Promise<T | null> {
  const found = await peekState(file, schema);
  if (found === "damaged") await quarantine(file);
  return found === "damaged" || found === "none" ? null : found.value;
}

/** The same, and nothing is touched. */
export async function peekState<T>(file: string, schema: z.ZodType<T>): Promise<FoundState<T> | "none" | "damaged"> {
  const text = await readStateText(file);
  if (text === null) return "none";
  const value = text === "damaged" ? undefined : schema.safeParse(parseVerified(text));
  return value?.success === true ? { value: value.data, bytes: Buffer.byteLength(text) } : "damaged";
}

interface FoundState<T> {
  readonly value: T;
  /** Of the file. */
  readonly bytes: number;
}

/** Keeps a file that can't be read under another name. Another that was kept of that name before is gone. */
export async function quarantine(file: string): Promise<void> {
  // Of two that find it damaged one is faster; and where nothing can be renamed, it stays in the way and is found again.
  await rename(file, file + QUARANTINE_SUFFIX).catch(async (error: unknown) => {
    // A directory in the file's place, or one that was kept before: neither is put over the other.
    if (!isOneOf(error, ["ENOTDIR", "EISDIR", "ENOTEMPTY", "EEXIST"])) return;
    await rm(file + QUARANTINE_SUFFIX, { recursive: true, force: true });
    await rename(file, file + QUARANTINE_SUFFIX).catch(() => undefined);
  });
}

/** Whether this file was damaged once, and nobody has looked at it since. */
export async function isQuarantined(file: string): Promise<boolean> {
  return await access(file + QUARANTINE_SUFFIX).then(
    () => true,
    () => false,
  );
}

/** The seal is a key of its own, first: a program that knows nothing of seals reads the rest all the same. */
function withChecksum(value: object): string {
  const text = JSON.stringify(value);
  return text === "{}" ? text : `{"seal":"${checksumOf(text)}",${text.slice(1)}`;
}

const CHECKSUM_HEAD = /^\{"seal":"([0-9a-f]{16})",/;

/** @returns null when it is not what was written. What has no seal was written by an older version, or by hand */
function parseVerified(text: string): unknown {
  const [head, seal] = CHECKSUM_HEAD.exec(text) ?? [];
  if (head === undefined || seal === undefined) return parseJson(text);
  const rest = `{${text.slice(head.length)}`.trimEnd();
  return checksumOf(rest) === seal ? parseJson(rest) : null;
}

function checksumOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/**
 * A sector that is gone damages a file as well as what can't be parsed does; a lack of memory or of handles does not.
 * @returns null when there is no such file; a word that nothing of ours is when it can't be read
 */
export async function readStateText(file: string): Promise<string | null> {
  try {
    return await readTextIfExists(file);
  } catch (error) {
    if (isOneOf(error, ["EIO", "EISDIR", "ELOOP"])) return "damaged";
    throw error;
  }
}

function isOneOf(error: unknown, codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
