import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  unlinkSync,
} from "node:fs";

// Linux's openat, renameat and the like without a native module: the kernel finds `/proc/self/fd/N/name` in the
// directory that is open as N, whatever has become of the directory's own name.

/** A name in a directory, in its real bytes where it may be other than UTF-8. */
export type EntryName = string | Buffer;

/** open(2): names a file or directory without opening it; only the right to search the directories above is needed. */
const O_PATH = 0o10000000;
const DIRECTORY = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** A path to an entry of an open directory. What never follows the last part of a path follows no link there. */
export function entryOf(directory: number, name: EntryName): EntryName {
  const prefix = `/proc/self/fd/${directory}/`;
  return typeof name === "string" ? prefix + name : Buffer.concat([Buffer.from(prefix), name]);
}

/** A path to the open file or directory itself. */
export function selfOf(descriptor: number): string {
  return `/proc/self/fd/${descriptor}`;
}

/** Opens a directory in an open one. @throws ENOENT; ENOTDIR for a link or anything else */
export function openIn(directory: number, name: EntryName): number {
  return openSync(entryOf(directory, name), DIRECTORY);
}

type MakeMissing = (directory: number, name: string) => void;

/**
 * Opens a directory step by step from the root, without following a link anywhere.
 * @param path absolute, without `.` and `..`
 * @param missing what becomes of a part that is not there; without it, ENOENT is thrown
 */
export function openDirectory(path: string, missing?: MakeMissing): number {
  let open = openSync("/", DIRECTORY);
  for (const name of path.split("/").filter((part) => part !== "")) {
    const above = open;
    try {
      open = openOrMake(above, name, missing);
    } finally {
      closeSync(above);
    }
  }
  return open;
}

function openOrMake(above: number, name: string, missing?: MakeMissing): number {
  try {
    return openIn(above, name);
  } catch (error) {
    if (missing === undefined || !isCode(error, "ENOENT")) throw error;
    missing(above, name);
    return openIn(above, name);
  }
}

/** Makes a directory, by default one that only its owner may enter. It is no error when there is one. */
export function makeIn(directory: number, name: EntryName, mode = 0o700): void {
  try {
    mkdirSync(entryOf(directory, name), { mode });
  } catch (error) {
    if (!isCode(error, "EEXIST")) throw error;
  }
}

/** Makes a directory that nobody else may enter, and opens it. Throws when there is one that somebody else made. */
export function makePrivate(directory: number, name: EntryName): number {
  makeIn(directory, name);
  const made = openIn(directory, name);
  const { uid, mode } = fstatSync(made);
  if (uid === process.getuid?.() && (mode & 0o077) === 0) return made;
  closeSync(made);
  throw new Error(`somebody else has made ${name.toString()}`);
}

/** Runs `work` with a directory, and closes it. */
export function withDirectory<T>(descriptor: number, work: (directory: number) => T): T {
  try {
    return work(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Removes an entry with all that is in it, never what a link leads to. Stops at the first that can't be removed.
 * @param shown its path, for `refuse`
 * @param refuse throws for a path that must stay
 */
export function removeTree(
  directory: number,
  name: EntryName,
  { shown = "", refuse }: { shown?: string; refuse?: (path: string) => void } = {},
): void {
  refuse?.(shown);
  const place = entryOf(directory, name);
  if (!lstatSync(place).isDirectory()) return unlinkSync(place);
  withDirectory(openIn(directory, name), (inside) => {
    for (const entry of readdirSync(selfOf(inside), { encoding: "buffer" })) {
      removeTree(inside, entry, { shown: `${shown}/${entry.toString()}`, ...(refuse === undefined ? {} : { refuse }) });
    }
  });
  rmdirSync(place);
}

/** The mounted file system that an open directory is on: what is moved within one is never copied. */
export function fileSystemOf(directory: number): string {
  const mount = /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${directory}`, "utf8"))?.[1] ?? "";
  return `${fstatSync(directory).dev}:${mount}`;
}

/** Whether nobody but root and the agent's own user can make, rename or remove entries of a directory. */
export function isOursAlone({ uid, mode }: { uid: number | bigint; mode: number | bigint }): boolean {
  return isOurs(Number(uid)) && (Number(mode) & 0o022) === 0;
}

/** Whether the user is root, or the agent's own. */
export function isOurs(uid: number): boolean {
  return uid === 0 || uid === process.getuid?.();
}

/** Whether an error is one of these of the system. */
export function isCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
