import { watch } from "node:fs";
import { realpath } from "node:fs/promises";
import { dirname } from "node:path";
import type { Paths } from "../config.ts";
import type { Timers } from "../system/timers.ts";

export interface WatchDeps {
  paths: Pick<Paths, "contractsDir">;
  timers: Timers;
  /** Something may have changed: look. */
  onPossibleChange: () => void;
}

/** A switch of NixOS swaps a symbolic link far above the directory, which no watch on the directory sees. */
const LOOK_EVERY_MS = 30_000;
/** A file that is being written is looked at once it is whole. */
const SETTLE_MS = 500;

/** Says when contracts.d may have changed: soon where the kernel tells, else within half a minute. @returns stops it */
export function watchContracts({ paths, timers, onPossibleChange }: WatchDeps): () => void {
  let unwatch: (() => void)[] = [];
  let cancelPoll = (): void => {};
  let cancelSettle = (): void => {};
  let isStopped = false;

  const check = async (): Promise<void> => {
    cancelPoll();
    const places = await watchedDirectories(paths.contractsDir);
    if (isStopped) return;
    // Anew each time: a directory that was removed and made again is another one under the same name.
    for (const close of unwatch) close();
    unwatch = places.flatMap((place) => startWatch(place, onEvent) ?? []);
    cancelPoll = timers.after(LOOK_EVERY_MS, () => void check());
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

/** The directory as it really is, and the one it is in: that is where it appears, and where it is swapped. */
async function watchedDirectories(directory: string): Promise<string[]> {
  const real = await realpath(directory).catch(() => null);
  return [...new Set(real === null ? [dirname(directory)] : [dirname(directory), real])];
}

/** @returns what ends it; null where it can't be watched: looking again and again is enough */
function startWatch(place: string, onEvent: () => void): (() => void) | null {
  try {
    const watcher = watch(place, { persistent: false }, onEvent);
    watcher.on("error", () => watcher.close());
    return () => watcher.close();
  } catch {
    return null;
  }
}
