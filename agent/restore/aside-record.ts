import { closeSync, lstatSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import * as z from "zod";
import { messageOf } from "../../shared/error-message.ts";
import { Instant } from "../../shared/ids.ts";
import { isMissing, namesIn, writeFileAtomically } from "../../shared/node/files.ts";
import type { Paths } from "../config.ts";
import { entryOf, openDirectory, removeTree } from "../system/descriptors.ts";
import { isAlive, ProcessRef } from "../system/process/process-ref.ts";

/** How directories of a restore are called beside restored files. No backup has them. */
export const ASIDE_NAME = ".holdfast-restore-";

/** How long replaced files are kept. */
export const KEPT_DAYS = 7;
const DAY_MS = 86_400_000;

/** One directory that a restore has made for itself. */
const AsideRecord = z.object({
  path: z.string(),
  device: z.string(),
  inode: z.string(),
  madeAt: Instant,
  owner: ProcessRef,
  /** It holds replaced files. */
  isKept: z.boolean(),
});
export type AsideRecord = z.infer<typeof AsideRecord>;

export async function writeAsideRecord(file: string, record: AsideRecord): Promise<void> {
  await writeFileAtomically(file, `${JSON.stringify(record)}\n`);
}

/** Whether a path is in a directory that a restore made for itself beside restored files. */
export function isAside(path: string): boolean {
  return path.includes(`/${ASIDE_NAME}`);
}

interface RemoveDeps {
  readonly paths: Pick<Paths, "asideDir">;
  readonly clock: { now(): number };
  readonly log: (line: string) => void;
}

/** Removes what killed restores left, and replaced files that were kept for a week. */
export async function removeOldAsides({ paths, clock, log }: RemoveDeps): Promise<void> {
  for (const name of await namesIn(paths.asideDir)) {
    if (!name.endsWith(".json")) continue;
    const file = join(paths.asideDir, name);
    try {
      const record = AsideRecord.parse(JSON.parse(await readFile(file, "utf8")));
      const isDue = record.isKept
        ? clock.now() - Date.parse(record.madeAt) > KEPT_DAYS * DAY_MS
        : !isAlive(record.owner);
      if (!isDue) continue;
      removeAside(record);
      await rm(file, { force: true });
    } catch (error) {
      log(`${file}: what it names can't be removed: ${messageOf(error)}`);
    }
  }
}

/** Only the directory that was made: another in its place is somebody else's. */
function removeAside({ path, device, inode }: AsideRecord): void {
  let parent: number;
  try {
    parent = openDirectory(dirname(path));
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  try {
    const there = lstatSync(entryOf(parent, basename(path)), { bigint: true, throwIfNoEntry: false });
    if (String(there?.dev) === device && String(there?.ino) === inode) removeTree(parent, basename(path));
  } finally {
    closeSync(parent);
  }
}
