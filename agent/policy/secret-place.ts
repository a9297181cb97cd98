import type { Stats } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";
import { isOurs, isOursAlone } from "../system/descriptors.ts";

const STICKY = 0o1000;
const MOST_LINKS = 40;

/**
 * Who can change a directory on the way to a file, also on the way of a link, chooses what the file is: the agent would
 * read any other for him. In a directory like /tmp he can do that with what is his own.
 * @returns why a secret for hooks is not read from there; null when only root (or the agent's own user) decides that
 * @throws when it is not there
 */
export async function secretPlaceFault(file: string): Promise<string | null> {
  const rest = partsOf(file);
  let [place, links] = ["/", 0];
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    const directory = await lstat(place);
    const next = join(place, name);
    const entry = await lstat(next);
    if (!keepsName(directory, entry)) {
      return `others than root can change ${place}, and with it what ${file} is: move the secret to a directory of root's, such as /etc/holdfast/secrets`;
    }
    if (!entry.isSymbolicLink()) {
      place = next;
      continue;
    }
    if (++links > MOST_LINKS) return `${file} leads from link to link: name the file itself`;
    const target = await readlink(next);
    rest.unshift(...partsOf(target));
    if (target.startsWith("/")) place = "/";
  }
  return null;
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function keepsName(directory: Stats, entry: Stats): boolean {
  const isShared = isOurs(directory.uid) && (directory.mode & STICKY) === STICKY && isOurs(entry.uid);
  return isOursAlone(directory) || isShared;
}
