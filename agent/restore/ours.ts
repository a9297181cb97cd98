import { type BigIntStats, readlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { runError } from "../run-error.ts";
import { isOurs, isOursAlone } from "../system/descriptors.ts";
import { lstat } from "./disk.ts";

const STICKY = 0o1000n;

/**
 * The directories from a path upwards in which the agent's own entries keep their names against everybody but root: all
 * above them, too, are root's or the agent's, and not to be written by others. The deepest comes first.
 */
export function ourDirectories(path: string): string[] {
  const found: string[] = [];
  let at = "";
  for (const name of [...path.split("/").slice(1), null]) {
    const there = lstat(at === "" ? "/" : at);
    if (there === null || !there.isDirectory() || !keepsOurNames(there)) break;
    found.unshift(at === "" ? "/" : at);
    if (name === null || name === "") break;
    at = `${at}/${name}`;
    // In a directory like /tmp, what somebody else has made can be exchanged by him.
    const next = lstat(at);
    if (next === null || (!isOursAlone(there) && !isOurs(Number(next.uid)))) break;
  }
  return found;
}

function keepsOurNames(directory: BigIntStats): boolean {
  return isOursAlone(directory) || (isOurs(Number(directory.uid)) && (directory.mode & STICKY) !== 0n);
}

/** Whether nobody else can put anything in the place of a directory, or into it. */
export function isOursAllTheWay(directory: string): boolean {
  const there = lstat(directory);
  return there !== null && ourDirectories(directory)[0] === directory && isOursAlone(there);
}

const MOST_LINKS = 40;

/**
 * Where a path leads by the symbolic links of root and of the agent's user, also when its end is not there yet. Throws
 * RunError for a link that others may have put there: they would choose what root writes to.
 */
export function realPathByOurLinks(path: string): string {
  let real = "/";
  let links = 0;
  const rest = path.split("/").filter((part) => part !== "");
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    const at = join(real, name);
    if (lstat(at)?.isSymbolicLink() !== true) {
      real = at;
      continue;
    }
    if (ourDirectories(at)[0] !== real || ++links > MOST_LINKS) throw linkError(path, at);
    rest.unshift(
      ...readlinkSync(at)
        .split("/")
        .filter((part) => part !== "" && part !== "."),
    );
    if (readlinkSync(at).startsWith("/")) real = "/";
  }
  return resolve(real);
}

function linkError(path: string, link: string) {
  const where = link === path ? path : `${path}: ${link}`;
  return runError(
    "restore.incomplete",
    `${where} is a symbolic link that others than root can change: nothing is written through it`,
    "Name the path that it leads to, or give the directory that the link is in to root.",
  );
}
