import { randomUUID } from "node:crypto";
import { watch } from "node:fs";
import { link, mkdir, open, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { Paths } from "./config.ts";
import { readTextIfThere } from "./files.ts";
import { isAlive, ownMark, ProcessMark } from "./process-mark.ts";

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
  await mkdir(paths.locksDir, { recursive: true, mode: 0o700 });
  const file = join(paths.locksDir, `${name}.lock`);
  const token = randomUUID();
  const text = JSON.stringify({ ...ownMark(), token });
  let hasWaited = false;
  for (;;) {
    signal.throwIfAborted();
    if (await createWhole(file, text, token)) return { release: () => release(file, text) };
    if (await breakIfDead(file)) continue;
    if (!hasWaited) onWait();
    hasWaited = true;
    await changeIn(paths.locksDir, signal);
  }
}

/** Links a finished file into place, so that nobody ever reads a lock that is still being written. */
async function createWhole(file: string, text: string, token: string): Promise<boolean> {
  const draft = `${file}.${token}`;
  await writeFile(draft, text, { mode: 0o600 });
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
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
    if (made !== null && Date.now() - made.mtimeMs > BREAKER_STALE_MS) await rm(breaker, { force: true });
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

/** Waits for a change in the directory, at most a second: the holder may die without one. */
async function changeIn(directory: string, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      watcher?.close();
      resolve();
    };
    const watcher = watchQuietly(directory, done);
    const timer = setTimeout(done, POLL_MS);
    signal.addEventListener("abort", done, { once: true });
  });
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
