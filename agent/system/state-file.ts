import { createHash } from "node:crypto";
import { access, rename, rm } from "node:fs/promises";
import type * as z from "zod";
import { readTextIfExists, writeFileAtomically } from "../../shared/node/files.ts";
import { parseJson } from "../../shared/json.ts";

/** Suffix of a damaged file: it is kept for a person to look at, and no longer in the way. */
export const QUARANTINE_SUFFIX = ".unreadable";

/**
 * Writes a state file. Durable when it returns. Later damage on disk is noticed when it is read.
 * @returns its size in bytes
 */
export async function writeState(file: string, value: object): Promise<number> {
  const text = withChecksum(value);
  await writeFileAtomically(file, text);
  return Buffer.byteLength(text);
}

/** @returns null when there is no such file, or it was damaged and is quarantined now. @throws any other error */
export async function readState<T>(file: string, schema: z.ZodType<T>): Promise<T | null> {
  const found = await peekState(file, schema);
  if (found === "damaged") await quarantine(file);
  return found === "damaged" || found === "none" ? null : found.value;
}

/** As `readState`, but changes nothing. */
export async function peekState<T>(file: string, schema: z.ZodType<T>): Promise<FoundState<T> | "none" | "damaged"> {
  const text = await readStateText(file);
  if (text === null) return "none";
  const value = text === "damaged" ? undefined : schema.safeParse(parseVerified(text));
  return value?.success === true ? { value: value.data, bytes: Buffer.byteLength(text) } : "damaged";
}

interface FoundState<T> {
  readonly value: T;
  /** Size of the file. */
  readonly bytes: number;
}

/** Renames a damaged file to *.unreadable, replacing an earlier one. */
export async function quarantine(file: string): Promise<void> {
  // If two processes find it damaged, one is faster. Where nothing can be renamed, it stays and is found again.
  await rename(file, file + QUARANTINE_SUFFIX).catch(async (error: unknown) => {
    // A directory in the file's place, or an earlier file: rename replaces neither.
    if (!isOneOf(error, ["ENOTDIR", "EISDIR", "ENOTEMPTY", "EEXIST"])) return;
    await rm(file + QUARANTINE_SUFFIX, { recursive: true, force: true });
    await rename(file, file + QUARANTINE_SUFFIX).catch(() => undefined);
  });
}

/** Whether this file was quarantined, and nobody has removed that copy since. */
export async function isQuarantined(file: string): Promise<boolean> {
  return await access(file + QUARANTINE_SUFFIX).then(
    () => true,
    () => false,
  );
}

/** The checksum is a separate first key, so that older versions can still read the rest. */
function withChecksum(value: object): string {
  const text = JSON.stringify(value);
  return text === "{}" ? text : `{"seal":"${checksumOf(text)}",${text.slice(1)}`;
}

const CHECKSUM_HEAD = /^\{"seal":"([0-9a-f]{16})",/;

/**
 * @returns null when the text is not what was written. Without a checksum it comes from an older version or an editor
 */
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
 * An unreadable sector counts as damage, as a text that can't be parsed does; a lack of memory or file handles does
 * not.
 * @returns null when there is no such file; "damaged" when it can't be read, which is no valid state
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
