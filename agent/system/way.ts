import type { Stats } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";
import { isOurs, isOursAlone } from "./descriptors.ts";

const STICKY = 0o1000;
const MOST_LINKS = 40;

/** The way that the kernel goes for a path. */
export interface Way {
  /** Without any link. */
  readonly real: string;
  /** The first directory on the way, also on that of a link, that others than root can change; null: there is none. */
  readonly changeable: string | null;
  /** The first link in such a directory. */
  readonly link: string | null;
}

/**
 * Follows a path, link by link. In a directory like /tmp, others can change what is their own.
 * @throws when something on the way is not there
 */
export async function wayTo(path: string): Promise<Way> {
  const rest = partsOf(path);
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
    if (++links > MOST_LINKS) throw new Error(`${path} leads from link to link: name what it leads to`);
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
