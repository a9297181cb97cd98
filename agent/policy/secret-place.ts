import { closeSync, constants, type Stats } from "node:fs";
import { type FileHandle, lstat, open, readlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { entryOf, isOurs, isOursAlone, openDirectory } from "../system/descriptors.ts";

const STICKY = 0o1000;
const MOST_LINKS = 40;

interface Place {
  /** Without any link. */
  readonly real: string;
  /** The first directory on the way, also on that of a link, that others than root can change; null: there is none. */
  readonly changeable: string | null;
  /** The first link in such a directory. */
  readonly link: string | null;
}

/**
 * Who can change a directory on the way to a file, also on the way of a link, chooses what the file is: the agent would
 * read any other for him. In a directory like /tmp he can do that with what is his own.
 * @returns why a secret for hooks is not read from there; null when only root (or the agent's own user) decides that
 * @throws when it is not there
 */
export async function secretPlaceFault(file: string): Promise<string | null> {
  const { changeable } = await lookUp(file);
  if (changeable === null) return null;
  return `others than root can change ${changeable}, and with it what ${file} is: ${MOVE}`;
}

const MOVE = "move the secret to a directory of root's, such as /etc/holdfast/secrets";

/**
 * Opens a secret for reading. A user may keep one in his own directory, and no link there is followed: it could lead to
 * a secret of somebody else.
 * @throws when it is not there, or a link of others is on the way
 */
export async function openSecretFile(file: string): Promise<FileHandle> {
  const { real, link } = await lookUp(file);
  if (link !== null) throw new Error(`${link} is a link that others than root can change: ${MOVE}`);
  // What has become a link meanwhile is not followed either; a named pipe is not waited for.
  const directory = openDirectory(dirname(real));
  try {
    return await open(entryOf(directory, basename(real)), O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  } finally {
    closeSync(directory);
  }
}

const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;

async function lookUp(file: string): Promise<Place> {
  const rest = partsOf(file);
  let [real, links] = ["/", 0];
  let [changeable, link]: [string | null, string | null] = [null, null];
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    const directory = await lstat(real);
    const next = join(real, name);
    const entry = await lstat(next);
    const isChangeable = !keepsName(directory, entry);
    if (isChangeable) changeable ??= real;
    if (!entry.isSymbolicLink()) {
      real = next;
      continue;
    }
    if (isChangeable) link ??= next;
    if (++links > MOST_LINKS) throw new Error(`${file} leads from link to link: name the file itself`);
    const target = await readlink(next);
    rest.unshift(...partsOf(target));
    if (target.startsWith("/")) real = "/";
  }
  return { real, changeable, link };
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function keepsName(directory: Stats, entry: Stats): boolean {
  const isShared = isOurs(directory.uid) && (directory.mode & STICKY) === STICKY && isOurs(entry.uid);
  return isOursAlone(directory) || isShared;
}
