import type { RestoreRequest } from "../../shared/assignment.ts";
import type { RunFailure } from "../../shared/failure.ts";
import type { Progress } from "../../shared/run.ts";

/** What of a snapshot is meant: these paths and what is below them; empty: everything. */
export interface Selection {
  readonly snapshot: string;
  readonly include: readonly string[];
}

/** All that a selection holds, parents before children. */
export interface NodeList {
  readonly nodes: readonly SnapshotNode[];
}

/** A socket is nothing that can be given back: its service makes it anew. */
export type NodeType = "file" | "dir" | "symlink" | "fifo" | "chardev" | "blockdev" | "socket";

/** One entry of a snapshot, as its listing has it. */
export interface SnapshotNode {
  /** Absolute. A byte that is not UTF-8 has the tool's stand-in in its place. */
  readonly path: string;
  readonly type: NodeType;
  /** Of a file, in bytes; null when the listing does not say. */
  readonly size: number | null;
  /** The permission bits, set-user-id and the like among them. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Microseconds since 1970: the finest that every tool's listing has. */
  readonly mtimeUs: number;
}

/** What a file or a symbolic link of a snapshot holds. */
export interface NodeContent {
  readonly path: string;
  /** Of a file's bytes. */
  readonly sha256: string | null;
  /** Of a symbolic link; as bytes, which need not be UTF-8. */
  readonly linkTarget: Buffer | null;
  /** Another name of the same file, whose content is said once. */
  readonly sameFileAs: string | null;
}

export interface FailedPath {
  readonly path: string;
  readonly reason: string;
}

export interface Extraction {
  readonly snapshot: string;
  readonly overwrite: RestoreRequest["overwrite"];
  /** What is written: all at or below `include`, or these entries alone, where the selection is not wanted whole. */
  readonly include: readonly string[];
  readonly nodes: readonly SnapshotNode[] | null;
  /** All of the selection, parents first. */
  readonly all: readonly SnapshotNode[];
  /** The directory that the paths are joined to; "" puts everything where it was. */
  readonly root: string;
  /** Nothing stays in an entry's place: the tool's own overwrite mode would choose the same entries. */
  readonly mayUseOwnOverwrite: boolean;
  /** Nothing of it is there yet: files may be made with holes where they hold zeros. */
  readonly isFresh: boolean;
  readonly onProgress: (progress: Progress) => void;
}

/** What one backup tool contributes to a restore. What the rest of it means is the same for all of them. */
export interface SnapshotContents {
  /** What a listing shows for a byte of a name that is not UTF-8. */
  readonly replacementChar: "\ufffd" | "?";
  /** A second name of a file that is there already would be written through, or lost. */
  readonly needsSingleNames: boolean;
  /** Goes through all of a snapshot's entries, parents before children. Throws RunError. */
  list(snapshot: string, onNode: (node: SnapshotNode) => void): Promise<void>;
  /** Reads the files and links of the selection from the repository, whole. Throws RunError. */
  readContents(content: Selection & NodeList, onContent: (content: NodeContent) => void): Promise<void>;
  /**
   * Writes entries over what is there. Nothing of another type is in their way any more.
   * @returns what could not be written, and why it stopped early, if it did; throws the signal's reason
   */
  extract(extraction: Extraction): Promise<{ failed: FailedPath[]; failure: RunFailure | null }>;
}

export function isAtOrBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith("/") ? directory : `${directory}/`);
}

/** Whether a selection holds the path; one without paths holds everything. */
export function isSelected(path: string, { include }: Pick<Selection, "include">): boolean {
  return include.length === 0 || include.some((wanted) => isAtOrBelow(path, wanted));
}
