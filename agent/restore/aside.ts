import { closeSync, fstatSync, linkSync, lstatSync, renameSync, rmdirSync } from "node:fs";
import { mkdir, realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import {
  type EntryName,
  entryOf,
  fileSystemOf,
  isCode,
  makeIn,
  makePrivate,
  openDirectory,
  openIn,
  removeTree,
} from "../system/descriptors.ts";
import { ownProcessRef } from "../system/process/process-ref.ts";
import { ASIDE_NAME, type AsideRecord, writeAsideRecord } from "./aside-record.ts";
import { ourDirectories } from "./ours.ts";

interface AsideInput {
  readonly paths: Pick<Paths, "state" | "asideDir">;
  readonly run: Id;
  readonly clock: { now(): number };
  /** Whether what the restore replaces or removes is kept. */
  readonly keepsReplaced: boolean;
}

/**
 * Directories of one restore that nobody else can enter: the tool writes there what is then moved into place, and what
 * was in its place is kept there.
 */
export interface Aside {
  readonly keepsReplaced: boolean;
  /**
   * Makes an empty directory for the tool to write into, by a name that nobody else can change. On the file system of
   * `near` if there is such a name; else what is written there has to be copied.
   */
  stage(near: Near): Promise<string>;
  /** Moves an entry of an open directory away, or gives it a second name here: it may then be replaced. */
  keep(entry: { directory: number; name: EntryName; path: string }): Promise<void>;
  /** Removes all but what is kept. */
  close(): Promise<Kept>;
}

/** How many files and directories are kept, and in which directories. */
export interface Kept {
  readonly count: number;
  readonly places: readonly string[];
}

/** A directory, open and by its path on disk. */
interface Near {
  readonly directory: number;
  readonly path: string;
}

interface Holder {
  readonly path: string;
  /** The open directory that it is in, and its name there. */
  readonly parent: number;
  readonly name: string;
  readonly descriptor: number;
  readonly record: AsideRecord;
  readonly recordFile: string;
  stages: number;
  kept: number;
}

export function openAside({ paths, run, clock, keepsReplaced }: AsideInput): Aside {
  const holders = new Map<string, Holder>();
  let made = 0;

  const make = async (parentPath: string, parent: number, name: string): Promise<Holder> => {
    const descriptor = makePrivate(parent, name);
    const { dev, ino } = fstatSync(descriptor, { bigint: true });
    const path = join(parentPath, name);
    const record: AsideRecord = {
      path,
      device: String(dev),
      inode: String(ino),
      madeAt: new Date(clock.now()).toISOString(),
      owner: ownProcessRef(),
      isKept: false,
    };
    const recordFile = join(paths.asideDir, `${run}-${++made}.json`);
    await writeAsideRecord(recordFile, record);
    return { path, parent, name, descriptor, record, recordFile, stages: 0, kept: 0 };
  };

  /** @returns null when no directory on that file system keeps its name against everybody else */
  const named = async ({ directory, path }: Near): Promise<Holder | null> => {
    const fileSystem = fileSystemOf(directory);
    const known = holders.get(fileSystem);
    if (known !== undefined) return known;
    const own = await ownDirectory();
    for (const at of [own, ...ourDirectories(path)]) {
      const holder = await tryIn(at, { fileSystem, name: at === own ? `${run}-${made + 1}` : `${ASIDE_NAME}${run}` });
      if (holder !== null) return holder;
    }
    return null;
  };

  /** @returns null when the directory is on another file system, or not to be written */
  const tryIn = async (
    at: string,
    { fileSystem, name }: { fileSystem: string; name: string },
  ): Promise<Holder | null> => {
    const parent = openDirectory(at);
    const isIt = fileSystemOf(parent) === fileSystem;
    const holder = isIt ? await make(at, parent, name).catch(() => null) : null;
    if (holder === null) closeSync(parent);
    else holders.set(fileSystem, holder);
    return holder;
  };

  const besides = async (near: Near): Promise<Holder> => {
    const found = await named(near);
    if (found !== null) return found;
    // Who may rename it can't enter it; and it is removed only if it is still the same.
    const holder = await make(near.path, openDirectory(near.path), `${ASIDE_NAME}${run}`);
    holders.set(fileSystemOf(near.directory), holder);
    return holder;
  };

  return {
    keepsReplaced,
    async stage(near) {
      const holder = (await named(near)) ?? (await ownHolder());
      const name = `new-${++holder.stages}`;
      makeIn(holder.descriptor, name);
      return join(holder.path, name);
    },
    async keep({ directory, name, path }) {
      const holder = await besides({ directory, path: path.slice(0, path.lastIndexOf("/")) || "/" });
      const to = openWithin(holder.descriptor, ["replaced", ...path.split("/").slice(1, -1)]);
      try {
        moveAside(entryOf(directory, name), entryOf(to, name));
        holder.kept++;
      } finally {
        closeSync(to);
      }
    },
    async close() {
      const places: string[] = [];
      let count = 0;
      for (const holder of holders.values()) {
        for (let index = 1; index <= holder.stages; index++) removeIfThere(holder.descriptor, `new-${index}`);
        if (holder.kept > 0) {
          await writeAsideRecord(holder.recordFile, { ...holder.record, isKept: true });
          places.push(join(holder.path, "replaced"));
          count += holder.kept;
        } else if (removeEmpty(holder)) await rm(holder.recordFile, { force: true });
        closeSync(holder.descriptor);
        closeSync(holder.parent);
      }
      holders.clear();
      return { count, places };
    },
  };

  /** Behind the links that root may have put above it. */
  async function ownDirectory(): Promise<string> {
    await mkdir(paths.asideDir, { recursive: true, mode: 0o700 });
    return await realpath(paths.asideDir);
  }

  async function ownHolder(): Promise<Holder> {
    const path = await ownDirectory();
    const directory = openDirectory(path);
    try {
      const holder = await named({ directory, path });
      if (holder !== null) return holder;
    } finally {
      closeSync(directory);
    }
    throw new Error(`nothing can be written to ${paths.asideDir}`);
  }
}

/** Opens a directory below an open one, and makes what is missing. */
function openWithin(directory: number, parts: readonly string[]): number {
  let open = directory;
  for (const part of parts) {
    makeIn(open, part);
    const next = openIn(open, part);
    if (open !== directory) closeSync(open);
    open = next;
  }
  return open;
}

/** A file stays where it is until it is replaced, as a second name of it; anything else is moved. */
function moveAside(from: EntryName, to: EntryName): void {
  if (!lstatSync(from).isDirectory()) {
    try {
      return linkSync(from, to);
    } catch (error) {
      // Kept already: what is there now was written by this restore.
      if (isCode(error, "EEXIST")) return;
      if (!isCode(error, "EPERM", "EMLINK", "ENOTSUP", "EOPNOTSUPP")) throw error;
    }
  }
  renameSync(from, to);
}

function removeIfThere(directory: number, name: string): void {
  try {
    removeTree(directory, name);
  } catch (error) {
    if (!isCode(error, "ENOENT")) throw error;
  }
}

/** @returns false when somebody has renamed it: the record says what to remove, should it come back */
function removeEmpty({ parent, name, descriptor }: Holder): boolean {
  try {
    const { dev, ino } = fstatSync(descriptor);
    const there = lstatSync(entryOf(parent, name));
    if (there.dev !== dev || there.ino !== ino) return false;
    rmdirSync(entryOf(parent, name));
    return true;
  } catch {
    return false;
  }
}
