import { closeSync, renameSync } from "node:fs";
import type { Access } from "../providers/provider.ts";
import { type EntryName, entryOf, makePrivate, removeTree } from "../system/descriptors.ts";
import { CHILD_PATH } from "../system/executables.ts";
import { runProcess } from "../system/process/process.ts";
import { ASIDE_NAME } from "./aside-record.ts";

interface CopyInput {
  /** An open directory that nobody else can enter, and the entry in it. */
  readonly staged: number;
  readonly name: EntryName;
  /** The open directory that it belongs in, on another file system. */
  readonly directory: number;
}

/**
 * Copies an entry with all that is in it, and all of its attributes, to another file system: into a directory that
 * nobody else can enter, and from there into its place. Throws when that fails.
 */
export async function copyAcross(access: Access, { staged, name, directory }: CopyInput): Promise<void> {
  const [plain, temporary] = ["entry", `${ASIDE_NAME}${access.run}-copy`];
  // A name that is not UTF-8 can't be an argument.
  renameSync(entryOf(staged, name), entryOf(staged, plain));
  const inside = makePrivate(directory, temporary);
  try {
    const place = (at: number): string => `/proc/${process.pid}/fd/${at}/${plain}`;
    const { exitCode, stderr } = await runProcess(
      {
        program: "cp",
        args: ["-a", "-T", "--", place(staged), place(inside)],
        env: { PATH: CHILD_PATH, LC_ALL: "C" },
        user: access.user,
        umask: "077",
        fileDirectory: access.paths.state,
      },
      { ladder: access.ladder, signal: access.signal, beforeStart: access.onChild },
    );
    access.signal.throwIfAborted();
    if (exitCode !== 0) throw new Error(`it could not be copied there: ${stderr.trim()}`);
    renameSync(entryOf(inside, plain), entryOf(directory, name));
    removeTree(staged, plain);
  } finally {
    closeSync(inside);
    removeTree(directory, temporary);
  }
}
