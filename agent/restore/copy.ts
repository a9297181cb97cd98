import { closeSync, renameSync } from "node:fs";
import type { Access } from "../providers/provider.ts";
import { type EntryName, entryOf, makePrivate, removeTree } from "../system/descriptors.ts";
import { ASIDE_NAME } from "./aside-record.ts";
import { runTool } from "./run-tool.ts";

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
    const args = ["-a", "-T", "--", place(staged), place(inside)];
    const { exitCode, stderr } = await runTool(access, "cp", args);
    if (exitCode !== 0) throw new Error(`it could not be copied there: ${stderr.trim()}`);
    renameSync(entryOf(inside, plain), entryOf(directory, name));
    removeTree(staged, plain);
  } finally {
    closeSync(inside);
    removeTree(directory, temporary);
  }
}
