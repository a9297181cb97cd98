import { randomUUID } from "node:crypto";
import { watch } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";
import type { Paths } from "../config.ts";
import { createFileAtomically, readTextIfExists } from "../../shared/node/files.ts";
import { isAlive, ownProcessRef, ProcessRef } from "../system/process/process-ref.ts";

const LockHolder = ProcessRef.extend({ token: z.string() });

const POLL_MS = 1_000;
/** Removing a stale lock takes milliseconds: a process that began to this long ago is dead too. */
const BREAKER_STALE_MS = 10_000;

export interface Lock {
  release(): Promise<void>;
}

/**
 * Acquires a lock that one run at a time holds on this host, in any process. Waits until it is free. A stale lock is
 * removed.
 * @param input `onWait`: called once when it has to wait
 * @throws the signal's reason when that aborts first
 */
export async function acquireLock(
  paths: Pick<Paths, "locksDir">,
  input: { name: string; signal: AbortSignal; onWait: () => void },
): Promise<Lock> {
  const { name, signal, onWait } = input;
  const file = join(paths.locksDir, `${name}.lock`);
  const text = JSON.stringify({ ...ownProcessRef(), token: randomUUID() });
  let changes: LockChanges | null = null;
  try {
    for (;;) {
      signal.throwIfAborted();
      if (await createFileAtomically(file, text)) return { release: () => release(file, text) };
      if (await removeIfStale(file)) continue;
      if (changes === null) {
        // Checked once more before the first wait: it may have been released before the watch started.
        changes = watchChanges(paths.locksDir);
        onWait();
      } else await changes.next(signal);
    }
  } finally {
    changes?.close();
  }
}

async function release(file: string, text: string): Promise<void> {
  if ((await readTextIfExists(file)) === text) await rm(file, { force: true });
}

/**
 * Two waiting processes may both find it stale. Only the one that created the `.break` file removes it, after a second
 * check.
 */
async function removeIfStale(file: string): Promise<boolean> {
  if (!(await isStale(file))) return false;
  const breaker = `${file}.break`;
  try {
    await (await open(breaker, "wx", 0o600)).close();
  } catch {
    const made = await stat(breaker).catch(() => null);
    const ageMs = made === null ? 0 : Math.abs(Date.now() - made.mtimeMs);
    // Also when its time is in the future: the clock was set back since.
    if (ageMs > BREAKER_STALE_MS) await rm(breaker, { force: true });
    return false;
  }
  try {
    if (await isStale(file)) await rm(file, { force: true });
    return true;
  } finally {
    await rm(breaker, { force: true });
  }
}

async function isStale(file: string): Promise<boolean> {
  const text = await readTextIfExists(file);
  if (text === null) return false;
  try {
    return !isAlive(LockHolder.parse(JSON.parse(text)));
  } catch {
    // Not written completely by us: after a power cut the file may be empty.
    return true;
  }
}

interface LockChanges {
  /** Resolves after a change since the last call, or after a second: a holder may die without changing the file. */
  next(signal: AbortSignal): Promise<void>;
  close(): void;
}

function watchChanges(directory: string): LockChanges {
  let hasChanged = false;
  let notify = (): void => undefined;
  const onChange = (): void => {
    hasChanged = true;
    notify();
  };
  const watcher = tryWatch(directory, onChange);
  return {
    async next(signal) {
      if (!hasChanged) {
        const waiting = new AbortController();
        notify = () => waiting.abort();
        await delay(POLL_MS, undefined, { signal: AbortSignal.any([signal, waiting.signal]) }).catch(() => undefined);
      }
      hasChanged = false;
    },
    close: () => watcher?.close(),
  };
}

function tryWatch(directory: string, onChange: () => void): { close(): void } | null {
  try {
    const watcher = watch(directory, (_event, name) => {
      if (name?.endsWith(".lock") === true) onChange();
    });
    watcher.on("error", onChange);
    return watcher;
  } catch {
    return null;
  }
}
