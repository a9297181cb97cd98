import { watch } from "node:fs";
import { basename, dirname } from "node:path";
import { readTextIfExists } from "../../shared/node/files.ts";
import type { Paths } from "../config.ts";
import type { Timers } from "../system/timers.ts";

export interface GrantWatchDeps {
  readonly paths: Pick<Paths, "policyJson" | "grantsFile">;
  readonly timers: Timers;
  /** The policy or the grants are other than before. */
  readonly onChange: () => void;
}

/** Where a directory can't be watched, or was replaced. */
const POLL_EVERY_MS = 30_000;
/** Waits until a file is completely written. */
const SETTLE_MS = 200;

/** Calls back when root changed the policy or granted something: at once, or within 30 s. @returns stops it */
export function watchGrants({ paths, timers, onChange }: GrantWatchDeps): () => void {
  const files = [paths.policyJson, paths.grantsFile];
  let seen: string | null = null;
  let isStopped = false;
  let cancelPoll = (): void => {};
  let cancelSettle = (): void => {};

  const check = async (): Promise<void> => {
    cancelPoll();
    const texts = await Promise.all(files.map((file) => readTextIfExists(file).catch(() => "unreadable")));
    if (isStopped) return;
    const now = JSON.stringify(texts);
    if (seen !== null && now !== seen) onChange();
    seen = now;
    cancelPoll = timers.after(POLL_EVERY_MS, () => void check());
  };
  const watchers = files.flatMap((file) => {
    const settle = (_event: string, name: string | null): void => {
      if (name !== basename(file) || isStopped) return;
      cancelSettle();
      cancelSettle = timers.after(SETTLE_MS, () => void check());
    };
    try {
      const watcher = watch(dirname(file), { persistent: false }, settle);
      watcher.on("error", () => watcher.close());
      return [watcher];
    } catch {
      return [];
    }
  });
  void check();
  return () => {
    isStopped = true;
    cancelPoll();
    cancelSettle();
    for (const watcher of watchers) watcher.close();
  };
}
