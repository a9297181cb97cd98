import { createHash } from "node:crypto";
import { lstat, readFile, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";

/**
 * Everything a restore has to give back, one line per entry: type, mode, owner, mtime, content or link target, and
 * which entries are the same file (hard links). Names are shown as hex where they are not plain, so any bytes compare.
 * @param directory the top; it is not itself in the list
 */
export async function describeTree(directory: string): Promise<string[]> {
  const lines: string[] = [];
  const firstNameOf = new Map<string, string>();
  const walk = async (path: Buffer, shown: string): Promise<void> => {
    const names = await readdir(path, { encoding: "buffer" });
    names.sort((left, right) => Buffer.compare(left, right));
    for (const name of names) {
      const entry = Buffer.concat([path, Buffer.from("/"), name]);
      const label = join(shown, printable(name));
      const stat = await lstat(entry, { bigint: true });
      const owner = `${stat.uid}:${stat.gid} ${(stat.mode & 0o7777n).toString(8)}`;
      if (stat.isDirectory()) {
        lines.push(`d ${owner} ${stat.mtimeNs} ${label}`);
        await walk(entry, label);
      } else if (stat.isSymbolicLink()) {
        lines.push(`l ${label} -> ${printable(await readlink(entry, { encoding: "buffer" }))}`);
      } else {
        const digest = createHash("sha256")
          .update(await readFile(entry))
          .digest("hex");
        const inode = `${stat.dev}:${stat.ino}`;
        const first = firstNameOf.get(inode);
        firstNameOf.set(inode, first ?? label);
        const twin = first === undefined ? "" : ` = ${first}`;
        lines.push(`f ${owner} ${stat.mtimeNs} ${stat.size} ${digest} ${label}${twin}`);
      }
    }
  };
  await walk(Buffer.from(directory), "");
  return lines;
}

function printable(name: Buffer): string {
  const text = name.toString("utf8");
  return /^[\x20-\x7e]+$/.test(text) ? text : `0x${name.toString("hex")}`;
}
