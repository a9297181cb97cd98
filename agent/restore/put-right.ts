import { lchownSync, lutimesSync, readlinkSync, symlinkSync, unlinkSync } from "node:fs";
import { messageOf } from "../../shared/error-message.ts";
import type { Extraction, FailedPath, NodeContent, SnapshotContents, SnapshotNode } from "../providers/contents.ts";
import type { RunLog } from "../run-log.ts";
import type { EntriesKeptOtherwise, KeptOtherwise } from "../state/kept-otherwise.ts";
import { type Disk, type DiskPath, isSameTime, lstat, mtimeUsOf, openDisk, secondsOf, typeOf } from "./disk.ts";

interface PutRightInput extends EntriesKeptOtherwise {
  readonly log: RunLog;
}

/** Nanoseconds in 64 bits: restic stores other times as they are, and writes back wrong ones. */
const WRITTEN_US = 2 ** 63 / 1000;

/**
 * A tool whose snapshot has what this host remembers of it: listed and compared as it was, and put right after the tool
 * has written it. What the snapshot has of an entry must be what the tool makes of the remembered: else the entry was
 * changed while the backup began, and the snapshot's word counts.
 */
export function putRight(tool: SnapshotContents, { entries, more, log }: PutRightInput): SnapshotContents {
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  if (more > 0)
    log.line(`the tool has stored ${more} more entries otherwise than they were: too many to be remembered`);
  const correct = (node: SnapshotNode): SnapshotNode => {
    const mtime = byPath.get(node.path)?.mtime;
    return mtime !== undefined && isSameTime(mtime.storedUs, node.mtimeUs) ? { ...node, mtimeUs: mtime.us } : node;
  };
  return {
    ...tool,
    list: (snapshot, onNode) => tool.list(snapshot, (node) => onNode(correct(node))),
    readContents: (content, onContent) =>
      tool.readContents(content, (one) => onContent(correctTarget(one, byPath.get(one.path)))),
    async extract(extraction) {
      const done = await tool.extract(extraction);
      if (done.failure !== null) return done;
      const isFailed = new Set(done.failed.map(({ path }) => path));
      const nodes = (extraction.nodes ?? extraction.all).filter(
        ({ path, mtimeUs }) => !isFailed.has(path) && (byPath.has(path) || Math.abs(mtimeUs) > WRITTEN_US),
      );
      if (nodes.length === 0) return done;
      const failed = putAllRight(extraction, { nodes, byPath, standIn: tool.replacementChar });
      log.line(
        `put right after ${tool.keeps.engine}: times or link targets of ${nodes.length - failed.length} entries`,
      );
      return { ...done, failed: [...done.failed, ...failed] };
    },
  };
}

function correctTarget(content: NodeContent, entry: KeptOtherwise | undefined): NodeContent {
  if (content.linkTarget === null || entry?.target === undefined) return content;
  const target = Buffer.from(entry.target, "base64");
  return isStoredAs(content.linkTarget, target) ? { ...content, linkTarget: target } : content;
}

/** Whether a tool that stores text makes this of the target. */
function isStoredAs(stored: Buffer, target: Buffer): boolean {
  const text = (bytes: Buffer): string => bytes.toString("utf8").replace(/\ufffd+/g, "\ufffd");
  return !stored.equals(target) && text(stored) === text(target);
}

function putAllRight(
  { root }: Extraction,
  {
    nodes,
    byPath,
    standIn,
  }: { nodes: readonly SnapshotNode[]; byPath: ReadonlyMap<string, KeptOtherwise>; standIn: string },
): FailedPath[] {
  const failed: FailedPath[] = [];
  const disk = openDisk(root, standIn);
  try {
    for (const node of nodes) {
      try {
        putOneRight(disk, node, byPath.get(node.path)?.target);
      } catch (error) {
        failed.push({ path: node.path, reason: `it could not be put right: ${messageOf(error)}` });
      }
    }
  } finally {
    disk.forget();
  }
  return failed;
}

/** A directory gets its time with its other attributes, once all is in it. */
function putOneRight(disk: Disk, node: SnapshotNode, target: string | undefined): void {
  const place = disk.find(node.path);
  const there = place === null ? null : lstat(place);
  if (place === null || there === null || node.type === "dir" || typeOf(there) !== node.type) return;
  if (target !== undefined && node.type === "symlink")
    replaceLink(place, { node, target: Buffer.from(target, "base64") });
  const now = lstat(place);
  if (now === null || isSameTime(mtimeUsOf(now), node.mtimeUs)) return;
  lutimesSync(place, secondsOf(Number(now.atimeNs / 1000n)), secondsOf(node.mtimeUs));
}

function replaceLink(place: DiskPath, { node, target }: { node: SnapshotNode; target: Buffer }): void {
  if (!isStoredAs(readlinkSync(place, "buffer"), target)) return;
  unlinkSync(place);
  symlinkSync(target, place);
  if (process.getuid?.() === 0) lchownSync(place, node.uid, node.gid);
}
