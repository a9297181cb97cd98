import { execFileSync } from "node:child_process";
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";

/** Names nobody thinks of. Latin-1 here, byte for byte: not all of them are UTF-8. */
const ODD_NAMES = [
  "new\nline",
  "-rf",
  "\xff\xfe",
  "$HOME",
  "[a-z]*?",
  "back\\slash",
  " spaces ",
  "#hash",
  "tab\t",
  "~",
  "**",
];

/** Makes a tree with such names, links, a pipe, modes and times. */
export function makeOddTree(directory: string): void {
  mkdirSync(`${directory}/deep/er`, { recursive: true });
  for (const name of ODD_NAMES) {
    const path = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name, "latin1")]);
    writeFileSync(path, `content of ${name}`, { mode: 0o640 });
    utimesSync(path, 1_000_000_000, 1_000_000_000.5);
  }
  writeFileSync(`${directory}/deep/er/empty`, "");
  writeFileSync(`${directory}/script`, "#!/bin/sh\n", { mode: 0o4755 });
  writeFileSync(`${directory}/one-of-three`, "hard");
  linkSync(`${directory}/one-of-three`, `${directory}/two-of-three`);
  linkSync(`${directory}/one-of-three`, `${directory}/deep/three-of-three`);
  symlinkSync("script", `${directory}/link`);
  symlinkSync("/nowhere at all", `${directory}/dangling`);
  execFileSync("mkfifo", ["-m", "600", `${directory}/pipe`]);
  utimesSync(`${directory}/deep`, 1_000_000_000, 1_000_000_000);
}

/** Everything a restore has to give back, by path: type, mode, owner, times, links, bytes. */
export function describeTree(directory: string): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  const inodes = new Map<number, string>();
  const visit = (path: Buffer, name: string): void => {
    const { mode, uid, gid, mtimeMs, ino, size } = lstatSync(path);
    const stat = lstatSync(path);
    const facts = { mode: mode.toString(8), uid, gid, mtime: stat.isSymbolicLink() ? 0 : Math.floor(mtimeMs) };
    if (stat.isDirectory()) {
      found[name] = facts;
      for (const child of readdirSync(path, { encoding: "buffer" }).toSorted(Buffer.compare)) {
        visit(Buffer.concat([path, Buffer.from("/"), child]), `${name}/${child.toString("latin1")}`);
      }
    } else if (stat.isSymbolicLink()) found[name] = { ...facts, to: readlinkSync(path) };
    else if (!stat.isFile()) found[name] = { ...facts, special: true };
    else {
      found[name] = { ...facts, size, content: readFileSync(path, "latin1"), sameAs: inodes.get(ino) };
      if (!inodes.has(ino)) inodes.set(ino, name);
    }
  };
  visit(Buffer.from(directory), "");
  return found;
}
