import { watch } from "node:fs";
import { realpath } from "node:fs/promises";
import { dirname } from "node:path";
import type { Paths } from "../config.ts";
import type { Timers } from "../system/timers.ts";

export interface WatchDeps {
  paths: Pick<Paths, "contractsDir">;
  timers: Timers;
  /** Something may have changed. */
  onPossibleChange: () => void;
}

/** A NixOS switch replaces a symbolic link far above the directory, which no watch on the directory sees. */
const POLL_EVERY_MS = 30_000;
/** Waits until a file is completely written. */
const SETTLE_MS = 500;

/** Calls back when contracts.d may have changed: soon with inotify, otherwise within 30 s. @returns stops it */
export function watchContracts({ paths, timers, onPossibleChange }: WatchDeps): () => void {
  let unwatch: (() => void)[] = [];
  let cancelPoll = (): void => {};
  let cancelSettle = (): void => {};
  let isStopped = false;

  const check = async (): Promise<void> => {
    cancelPoll();
    const places = await watchedDirectories(paths.contractsDir);
    if (isStopped) return;
    // Watched anew each time: a directory that was removed and created again is another inode.
    for (const close of unwatch) close();
    unwatch = places.flatMap((place) => startWatch(place, onEvent) ?? []);
    cancelPoll = timers.after(POLL_EVERY_MS, () => void check());
    onPossibleChange();
  };
  const onEvent = (): void => {
    cancelSettle();
    if (!isStopped) cancelSettle = timers.after(SETTLE_MS, () => void check());
  };
  void check();
  return () => {
    isStopped = true;
    cancelPoll();
    cancelSettle();
    for (const close of unwatch) close();
  };
}

/** The directory with symbolic links resolved, and its parent: it is created and replaced there. */
async function watchedDirectories(directory: string): Promise<string[]> {
  const real = await realpath(directory).catch(() => null);
  return [...new Set(real === null ? [dirname(directory)] : [dirname(directory), real])];
}

/** @returns stops it; null where it can't be watched: polling is enough */
function startWatch(place: string, onEvent: () => void): (() => void) | null {
  try {
    const watcher = watch(place, { persistent: false }, onEvent);
    watcher.on("error", () => watcher.close());
    return () => watcher.close();
  } catch {
    return null;
  }
}
