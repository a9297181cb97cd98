import * as z from "zod";

/** A UUIDv7: sorts by creation time, so newest-first lists and cursors need nothing else. */
export const Id = z.uuidv7({ error: "must be an id (UUIDv7)" });
export type Id = z.infer<typeof Id>;

/** A name given by people: unique in its collection (of a contract or binding: on its host). */
export const Name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, "must be 1 to 63 of a-z, 0-9, '.', '_', '-', and begin with a letter or digit");
export type Name = z.infer<typeof Name>;

/** A word by which hosts and bindings are grouped. */
export const Label = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, "must be a word of small letters, digits, . _ -");

export const Labels = z
  .array(Label)
  .max(50)
  .refine((labels) => new Set(labels).size === labels.length, "names a label twice")
  .describe("for grouping: channels and lists can be limited to them");

/** An instant in UTC with milliseconds, as written by `Date.toISOString`: as text it sorts by time. */
export const Instant = z.iso.datetime({ precision: 3, error: "must be an instant like 2026-11-23T08:00:00.000Z" });
export type Instant = z.infer<typeof Instant>;

/**
 * Set when a host's file no longer declares it: it is kept because something depends on it, and the file owns it again
 * when it returns.
 */
export const UndeclaredAt = Instant.nullable().describe(
  "since when the file that declared it is missing; null: it exists, or there never was one",
);

export function instant(milliseconds: number): Instant {
  return new Date(milliseconds).toISOString();
}

/** For a time written by another program. @returns null when it is invalid, or its year does not have four digits */
export function instantAt(milliseconds: number): Instant | null {
  return milliseconds >= Date.UTC(1000) && milliseconds < Date.UTC(10_000) ? instant(milliseconds) : null;
}

/** An absolute path without `.` or `..` parts, NUL or a newline: used as it is, never expanded. */
export const AbsolutePath = z
  .string()
  .max(4096)
  .refine((path) => path.startsWith("/"), "must be an absolute path (begin with '/')")
  .refine((path) => !/[\0\n]/.test(path), "must not contain NUL or a newline")
  // Half a character is replaced on its way to a program: what was checked would not be what is opened.
  .refine((path) => path.isWellFormed(), "must be Unicode, without half characters (lone surrogates)")
  .refine(
    (path) => path.split("/").every((part) => part !== "." && part !== ".."),
    "must not contain '.' or '..' parts; write the path out",
  )
  .describe("an absolute path without '.' or '..' parts");
export type AbsolutePath = z.infer<typeof AbsolutePath>;

/**
 * Makes a UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then randomness.
 * @param milliseconds creation time, since 1970
 * @param random at least 10 random bytes
 */
export function uuidv7(milliseconds: number, random: Uint8Array): Id {
  const bytes = new Uint8Array(16);
  let rest = milliseconds;
  for (let index = 5; index >= 0; index--) {
    bytes[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  bytes.set(random.subarray(0, 10), 6);
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** When a UUIDv7 was created, by its creator's clock, in milliseconds since 1970. */
export function idTimeMs(id: Id): number {
  return Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16);
}
