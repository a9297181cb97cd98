import { createHash } from "node:crypto";
import { closeSync, constants, createReadStream, fstatSync, openSync, readFileSync, readlinkSync } from "node:fs";
import { difference, type Disk, type DiskPath, forEachYielding, lstat, openDisk } from "./disk.ts";
import type { FailedPath, NodeList, NodeContent, SnapshotContents, Selection } from "../providers/contents.ts";

export interface Verification {
  /** Files, links and the like that are as in the snapshot. Directories are not counted. */
  readonly matching: number;
  readonly differing: readonly FailedPath[];
}

/**
 * Compares the disk with the snapshot: type, size, mode, owner, mtime to the microsecond, the content of every file,
 * the target of every link, and hard links where the engine knows them. Reads all of both.
 */
export async function verify(
  tool: SnapshotContents,
  { root, ...selected }: Selection & NodeList & { readonly root: string },
): Promise<Verification> {
  const disk = openDisk(root, tool.replacementChar);
  const others = selected.nodes.filter(({ type }) => type !== "dir" && type !== "socket");
  const differing = new Map<string, string>();
  await forEachYielding(others, (node) => {
    const there = disk.stat(node.path);
    const reason = there !== null ? difference(node, there) : disk.isAmbiguous(node.path) ? null : "is not there";
    if (reason !== null) differing.set(node.path, reason);
  });
  disk.forget();
  for (const path of await differingContents(tool, { root, ...selected })) {
    if (!differing.has(path)) differing.set(path, "content");
  }
  return {
    matching: others.length - differing.size,
    differing: [...differing].map(([path, reason]) => ({ path, reason })),
  };
}

/** @returns the files and links that exist with other content than in the snapshot */
export async function differingContents(
  tool: SnapshotContents,
  selected: Selection & NodeList & { readonly root: string },
): Promise<Set<string>> {
  const differing = new Set<string>();
  await compareContents(tool, selected, ({ path }, isAsThere) => {
    if (!isAsThere) differing.add(path);
  });
  return differing;
}

/** Compares the files and links of the selection, and perhaps more, one after the other. */
export async function compareContents(
  tool: SnapshotContents,
  { root, ...selected }: Selection & NodeList & { readonly root: string },
  onCompared: (content: NodeContent, isSame: boolean) => void,
): Promise<void> {
  const disk = openDisk(root, tool.replacementChar);
  let compared: Promise<void> = Promise.resolve();
  await tool.readContents(selected, (content) => {
    compared = compared.then(async () => onCompared(content, await isSame(disk, content)));
  });
  await compared;
  disk.forget();
}

/** Entries that are missing or of another type count as same here: they differ by that already. */
async function isSame(disk: Disk, { path, sha256, linkTarget, sameFileAs }: NodeContent): Promise<boolean> {
  const place = disk.find(path);
  const there = place === null ? null : lstat(place);
  if (place === null || there === null) return true;
  if (sameFileAs !== null) {
    const first = disk.stat(sameFileAs);
    return first === null || (first.ino === there.ino && first.dev === there.dev);
  }
  if (linkTarget !== null) return !there.isSymbolicLink() || readlinkSync(place, "buffer").equals(linkTarget);
  if (sha256 === null || !there.isFile()) return true;
  return (await digestOf(place)) === sha256;
}

/** Files up to this size are read in one go: streams for many small files take ten times as long. */
const SMALL_BYTES = 1n << 20n;

/** @returns null when it can't be read completely, or is no plain file any more */
async function digestOf(place: DiskPath): Promise<string | null> {
  const hash = createHash("sha256");
  let descriptor: number | null = null;
  try {
    // A pipe in its place would keep the agent waiting.
    descriptor = openSync(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const there = fstatSync(descriptor, { bigint: true });
    if (!there.isFile()) return null;
    if (there.size <= SMALL_BYTES) return hash.update(readFileSync(descriptor)).digest("hex");
    for await (const chunk of createReadStream("", { fd: descriptor, autoClose: false })) hash.update(chunk as Buffer);
    return hash.digest("hex");
  } catch {
    return null;
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}
