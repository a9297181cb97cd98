import { type Extraction, isAtOrBelow, type SnapshotNode } from "../contents.ts";
import { runError } from "../../run-error.ts";
import { STAND_IN } from "./contents.ts";
import type { Restic } from "./version.ts";

/** restic compares every entry with every pattern: with more patterns, a restore takes hours. */
const MOST_PATTERNS = 2_000;
/** Linux accepts 2 MiB for one command line and its environment. */
const MOST_ARGUMENT_BYTES = 1 << 20;

/** restic's arguments for what to restore. */
export interface SelectionArgs {
  readonly args: readonly string[];
  /** Texts restic finds as /dev/fd/4 and on. */
  readonly files: readonly string[];
}

/**
 * All of the selection, or chosen entries of it: listed in a file where restic supports that, otherwise in arguments.
 * When there are too many, restic's own overwrite mode chooses them.
 * @throws `engine.refused` when it has none, or it would choose other entries
 */
export function selectionArgs(restic: Restic, extraction: Extraction): SelectionArgs {
  const { include, nodes, all, overwrite, mayUseOwnOverwrite } = extraction;
  if (nodes === null) return { args: include.map((path) => `--include=${literal(path)}`), files: [] };
  const patterns = minimalCover(nodes, all).map(({ path }) => literal(path));
  const hasOwnModes = restic.isAtLeast("0.17.0");
  if (patterns.length <= MOST_PATTERNS && hasOwnModes) {
    return { args: ["--include-file=/dev/fd/4"], files: [patterns.map(inFile).join("\n")] };
  }
  const bytes = patterns.reduce((sum, pattern) => sum + Buffer.byteLength(pattern) + 20, 0);
  if (patterns.length <= MOST_PATTERNS && bytes <= MOST_ARGUMENT_BYTES) {
    return { args: patterns.map((pattern) => `--include=${pattern}`), files: [] };
  }
  if (hasOwnModes && mayUseOwnOverwrite) {
    return { args: [`--overwrite=${overwrite}`, ...include.map((path) => `--include=${literal(path)}`)], files: [] };
  }
  throw runError(
    "engine.refused",
    `restic ${restic.version} can't restore ${patterns.length} chosen files among others in one go; nothing was restored`,
    "Restore with `overwrite: always`, or install restic 0.17 or newer on the host.",
  );
}

/**
 * The fewest paths that cover exactly these entries: a directory covers all its content if all of it is wanted. A
 * directory that is wanted only in part is not named: restic would restore all of it.
 */
function minimalCover(nodes: readonly SnapshotNode[], all: readonly SnapshotNode[]): SnapshotNode[] {
  const wanted = new Set(nodes.map(({ path }) => path));
  const mixed = new Set<string>();
  for (const { path, type } of all) {
    if (wanted.has(path) || type === "socket") continue;
    for (let at = parentOf(path); at !== "" && !mixed.has(at); at = parentOf(at)) mixed.add(at);
  }
  const covering: SnapshotNode[] = [];
  for (const node of nodes) {
    const last = covering.at(-1);
    if (last !== undefined && last.type === "dir" && isAtOrBelow(node.path, last.path)) continue;
    if (!mixed.has(node.path)) covering.push(node);
  }
  return covering;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

/** A restic pattern for exactly this path, with `?` for unknown bytes. */
function literal(path: string): string {
  return path.replace(/[\\*?[\]]/g, "\\$&").replaceAll(STAND_IN, "?");
}

/** Escaped for a pattern file, where variables are expanded, and line feeds and surrounding white space are ignored. */
function inFile(pattern: string): string {
  return pattern
    .replaceAll("$", "$$$$")
    .replace(/[\n\r]/g, "?")
    .replace(/\s$/, "?");
}
