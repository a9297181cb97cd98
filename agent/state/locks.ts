import { randomUUID } from "node:crypto";
import { watch } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";
import type { Paths } from "../config.ts";
import { createFileAtomically, readTextIfThere } from "../system/files.ts";
import { isAlive, ownMark, ProcessMark } from "../system/process/mark.ts";

const Holder = ProcessMark.extend({ token: z.string() });

const POLL_MS = 1_000;
/** Breaking a dead lock takes milliseconds: whoever began it this long ago is dead as well. */
const BREAKER_STALE_MS = 10_000;

export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes a lock that only one run at a time has on this host, in whichever process. One whose process is gone is broken.
 * Waits until it is free.
 * @param onWait called once when it has to wait
 * @throws the signal's reason when that aborts first
 */
export async function takeLock(
  paths: Pick<Paths, "locksDir">,
  input: { name: string; signal: AbortSignal; onWait: () => void },
): Promise<Lock> {
  const { name, signal, onWait } = input;
  const file = join(paths.locksDir, `${name}.lock`);
  const text = JSON.stringify({ ...ownMark(), token: randomUUID() });
  let changes: Changes | null = null;
  try {
    for (;;) {
      signal.throwIfAborted();
      if (await createFileAtomically(file, text)) return { release: () => release(file, text) };
      if (await breakIfDead(file)) continue;
      if (changes === null) {
        // Looked at once more before the first wait: it may have been freed before anybody watched.
        changes = watchChanges(paths.locksDir);
        onWait();
      } else await changes.next(signal);
    }
  } finally {
    changes?.close();
  }
}

async function release(file: string, text: string): Promise<void> {
  if ((await readTextIfThere(file)) === text) await rm(file, { force: true });
}

/** Two that wait may both find it dead: only the one with the `.break` file may remove it, having looked again. */
async function breakIfDead(file: string): Promise<boolean> {
  if (!(await isDead(file))) return false;
  const breaker = `${file}.break`;
  try {
    await (await open(breaker, "wx", 0o600)).close();
  } catch {
    const made = await stat(breaker).catch(() => null);
    const ageMs = made === null ? 0 : Math.abs(Date.now() - made.mtimeMs);
    // Of the future as well: the clock was set back since.
    if (ageMs > BREAKER_STALE_MS) await rm(breaker, { force: true });
    return false;
  }
  try {
    if (await isDead(file)) await rm(file, { force: true });
    return true;
  } finally {
    await rm(breaker, { force: true });
  }
}

async function isDead(file: string): Promise<boolean> {
  const text = await readTextIfThere(file);
  if (text === null) return false;
  try {
    return !isAlive(Holder.parse(JSON.parse(text)));
  } catch {
    // Not written by us in one piece: after a power cut the file may be empty.
    return true;
  }
}

interface Changes {
  /** Resolves after a change since it was last asked, within a second without one: a holder may die silently. */
  next(signal: AbortSignal): Promise<void>;
  close(): void;
}

function watchChanges(directory: string): Changes {
  let hasChanged = false;
  let tell = (): void => undefined;
  const onChange = (): void => {
    hasChanged = true;
    tell();
  };
  const watcher = watchQuietly(directory, onChange);
  return {
    async next(signal) {
      if (!hasChanged) {
        const waiting = new AbortController();
        tell = () => waiting.abort();
        await delay(POLL_MS, undefined, { signal: AbortSignal.any([signal, waiting.signal]) }).catch(() => undefined);
      }
      hasChanged = false;
    },
    close: () => watcher?.close(),
  };
}

function watchQuietly(directory: string, onChange: () => void): { close(): void } | null {
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
