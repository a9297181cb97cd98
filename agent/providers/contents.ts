import type { RestoreRequest } from "../../shared/assignment.ts";
import type { RunFailure } from "../../shared/failure.ts";
import type { Progress } from "../../shared/run.ts";

/** The paths of a snapshot that are meant, with everything below them; empty: everything. */
export interface Selection {
  readonly snapshot: string;
  readonly include: readonly string[];
}

/** All entries of a selection, parents before children. */
export interface NodeList {
  readonly nodes: readonly SnapshotNode[];
}

/** A socket is never restored: its service creates it again. */
export type NodeType = "file" | "dir" | "symlink" | "fifo" | "chardev" | "blockdev" | "socket";

/** One entry of a snapshot's listing. */
export interface SnapshotNode {
  /** Absolute. A byte that is not UTF-8 is shown as the engine's replacement char. */
  readonly path: string;
  readonly type: NodeType;
  /** Of a file, in bytes; null when the listing does not contain it. */
  readonly size: number | null;
  /** The permission bits, with set-user-id and the like. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Microseconds since 1970: the finest resolution that every engine lists. */
  readonly mtimeUs: number;
  /** File flags that the snapshot has, as the letters of chattr; left out where it has none. */
  readonly flags?: string;
}

/** The content of a file or symbolic link of a snapshot. */
export interface NodeContent {
  readonly path: string;
  /** Of a file's content. */
  readonly sha256: string | null;
  /** Of a symbolic link, as bytes, which need not be UTF-8. */
  readonly linkTarget: Buffer | null;
  /** Another name of the same file, whose content is reported once. */
  readonly sameFileAs: string | null;
}

export interface FailedPath {
  readonly path: string;
  readonly reason: string;
}

export interface Extraction {
  readonly snapshot: string;
  readonly overwrite: RestoreRequest["overwrite"];
  /** What to write: everything at or below `include`, or only `nodes` when not all of it is wanted. */
  readonly include: readonly string[];
  readonly nodes: readonly SnapshotNode[] | null;
  /** All of the selection, parents first. */
  readonly all: readonly SnapshotNode[];
  /** Prefix of the paths on disk; "" restores in place. */
  readonly root: string;
  /** Nothing is in the way: the engine's own overwrite mode would choose the same entries. */
  readonly mayUseOwnOverwrite: boolean;
  /** Whether files get their flags, such as immutable: then they can't be moved any more. */
  readonly setsFlags: boolean;
  /** None of it exists yet: files may be written sparse where they contain zeros. */
  readonly isFresh: boolean;
  readonly onProgress: (progress: Progress) => void;
}

/** What a snapshot of this version of an engine has as it was. `test/engine/oddities.test.ts` tries every version. */
export interface Fidelity {
  /** The engine and its version, for messages. */
  readonly engine: string;
  /** Modification times, in ms since 1970: of an earlier or later one, the nearest of these is stored. */
  readonly oldestMs: number;
  readonly newestMs: number;
  /** Whether the target of a symbolic link is stored as it is when it is not UTF-8. */
  readonly keepsRawTargets: boolean;
}

/** What one engine contributes to a restore. Everything else is the same for all engines. */
export interface SnapshotContents {
  readonly keeps: Fidelity;
  /** What a listing shows for a byte of a name that is not UTF-8. */
  readonly replacementChar: "\ufffd" | "?";
  /** Whether an existing hard link would be written through, or lost. */
  readonly needsSingleNames: boolean;
  /** Lists all entries of a snapshot, parents before children. Throws RunError. */
  list(snapshot: string, onNode: (node: SnapshotNode) => void): Promise<void>;
  /** Reads the files and links of the selection from the repository completely. Throws RunError. */
  readContents(content: Selection & NodeList, onContent: (content: NodeContent) => void): Promise<void>;
  /**
   * Writes entries over what exists. Obstacles are already removed.
   * @returns what could not be written, and why it stopped early, if it did
   * @throws the signal's reason
   */
  extract(extraction: Extraction): Promise<{ failed: FailedPath[]; failure: RunFailure | null }>;
}

export function isAtOrBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith("/") ? directory : `${directory}/`);
}

/** Whether a selection contains the path; one without paths contains everything. */
export function isSelected(path: string, { include }: Pick<Selection, "include">): boolean {
  return include.length === 0 || include.some((wanted) => isAtOrBelow(path, wanted));
}
