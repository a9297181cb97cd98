import { closeSync, constants, openSync, readdirSync, renameSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import type { Access } from "../providers/provider.ts";
import { tarReader } from "../providers/tar-reader.ts";
import { entryOf, makePrivate, openDirectory, selfOf } from "../system/descriptors.ts";
import { shownName } from "../system/display-name.ts";
import type { Disk } from "./disk.ts";
import { runTool } from "./run-tool.ts";

interface ExtendedInput {
  /** Where the tool has written; all but directories that were there already has been moved away. */
  readonly stage: Disk;
  readonly stagePath: string;
  readonly disk: Disk;
  readonly standIn: string;
  /** The directories that were there already, as in the snapshot. */
  readonly merged: ReadonlySet<string>;
}

const AT_ONCE = 100;
/** Each pair of arguments is an empty directory, and one that gets all attributes of it. */
const COPY = 'while [ $# -gt 0 ]; do cp -a --attributes-only -T -- "$1/." "$2/." || exit; shift 2; done';

/**
 * Gives the directories that were there already the ACLs and other extended attributes that they have in the snapshot.
 * Node can't; GNU's tar says which have any, and GNU's cp copies them.
 * @returns why it could not be done; null when it was, or nothing had to be
 */
export async function copyExtendedAttributes(access: Access, input: ExtendedInput): Promise<string | null> {
  const { stagePath, merged } = input;
  if (merged.size === 0) return null;
  const found = await listDirectories(access, input);
  if (found === null) return "tar could not list them";
  const extended = new Set(
    found.filter(({ isExtended, path }) => isExtended && merged.has(path)).map(({ path }) => path),
  );
  if (extended.size === 0) return null;
  const pairs = takeOut(input, { paths: found.map(({ path }) => path), extended });
  for (let at = 0; at < pairs.length; at += AT_ONCE) {
    const failure = await copyAll(access, input, pairs.slice(at, at + AT_ONCE));
    if (failure !== null) return failure;
  }
  access.log.line(`${pairs.length} directories below ${stagePath} have ACLs or other attributes: they were copied`);
  return null;
}

/** @returns every directory that is left, as in the snapshot; null when tar can't say */
async function listDirectories(
  access: Access,
  { stagePath, standIn }: ExtendedInput,
): Promise<{ path: string; isExtended: boolean }[] | null> {
  const found: { path: string; isExtended: boolean }[] = [];
  const reader = tarReader({
    onEntry({ name, type, isExtended }) {
      if (type === "dir") found.push({ path: shownName(name, standIn).slice(1), isExtended });
    },
    onData: () => undefined,
    onEnd: () => undefined,
  });
  let isReadable = true;
  const args = [
    "--create",
    "--format=pax",
    "--xattrs",
    "--xattrs-include=*",
    "--file=-",
    `--directory=${stagePath}`,
    ".",
  ];
  const { exitCode } = await runTool(access, "tar", args, (chunk) => {
    try {
      if (isReadable) reader.push(chunk);
    } catch {
      isReadable = false;
    }
  });
  return exitCode === 0 && isReadable ? found : null;
}

interface Pair {
  readonly from: string;
  /** As in the snapshot. */
  readonly path: string;
}

/** Moves these directories out of the tree, the deepest first: each has to be empty, since cp copies all of it. */
function takeOut(
  { stage, stagePath }: ExtendedInput,
  { paths, extended }: { paths: readonly string[]; extended: ReadonlySet<string> },
): Pair[] {
  const pairs: Pair[] = [];
  const top = openDirectory(stagePath);
  const flat = makePrivate(top, "attributes");
  try {
    for (const path of paths.toSorted((one, other) => (one < other ? 1 : -1))) {
      const own = stage.open(path);
      if (own === null || path === "" || readdirSync(selfOf(own)).length > 0) continue;
      const directory = stage.directoryOf(path);
      const [name = ""] = stage.namesOf(path);
      if (directory === null) continue;
      if (!extended.has(path)) rmdirSync(entryOf(directory, name));
      else {
        const plain = String(pairs.length);
        renameSync(entryOf(directory, name), entryOf(flat, plain));
        pairs.push({ from: join(stagePath, "attributes", plain), path });
      }
      stage.forget();
    }
  } finally {
    closeSync(flat);
    closeSync(top);
  }
  return pairs;
}

async function copyAll(access: Access, { disk }: ExtendedInput, pairs: readonly Pair[]): Promise<string | null> {
  const open: number[] = [];
  try {
    const args = pairs.flatMap(({ from, path }) => {
      const directory = disk.open(path);
      if (directory === null) return [];
      // Its own descriptor: the disk closes its one when it is asked about the next.
      const own = openSync(selfOf(directory), constants.O_RDONLY | constants.O_DIRECTORY);
      open.push(own);
      return [from, `/proc/${process.pid}/fd/${own}`];
    });
    const { exitCode, stderr } = await runTool(access, "/bin/sh", ["-c", COPY, "sh", ...args]);
    return exitCode === 0 ? null : stderr.trim();
  } finally {
    for (const descriptor of open) closeSync(descriptor);
  }
}
