import { closeSync, constants, existsSync, fstatSync, openSync, writeSync } from "node:fs";
import { lstat, mkdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Paths } from "../../config.ts";
import { writeFileAtomically } from "../../../shared/node/files.ts";
import { CHILD_PATH } from "../../system/executables.ts";
import { HOOK_LADDER } from "../../system/process/kill-ladder.ts";
import { isAlive, processRefOf, type ProcessRef } from "../../system/process/process-ref.ts";
import { runProcess } from "../../system/process/process.ts";
import { ownUser } from "../../system/process/user.ts";

/**
 * One run handed over to its unit, in a directory that only root can enter: the FIFO `log` takes lines to the unit, the
 * file `attached` has the pid of the unit's script, `stop` says that the unit is being stopped, and `status` what the
 * script is to exit with once the FIFO has ended.
 */
export interface HandOver {
  /** The unit's script, once it has taken the run over. */
  attached(): Promise<ProcessRef | null>;
  isStopped(): boolean;
  write(line: string): void;
  /** Lets the script exit with this status, waits for it (not for long), and removes the directory. */
  end(status: number): Promise<void>;
  /** Nobody took the run over. */
  withdraw(): Promise<void>;
}

/** What waits for a script that does not read: a run's log is shown in its report all the same. */
const MOST_WAITING_BYTES = 1 << 20;
const AGAIN_AFTER_MS = 20;
const WRITTEN_WITHIN_MS = 2_000;
const SCRIPT_ENDS_WITHIN_MS = 5_000;

/** Makes the directory, and the FIFO with its writing end open. Throws when either can't be made. */
export async function openHandOver(paths: Pick<Paths, "runtime" | "handOverDir">, name: string): Promise<HandOver> {
  const directory = join(paths.handOverDir, name);
  await makeOwnDirectory(paths.runtime, 0o711);
  await makeOwnDirectory(paths.handOverDir, 0o700);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { mode: 0o700 });
  const fifo = openFifo(await makeFifo(join(directory, "log")));
  let script: ProcessRef | null = null;
  const has = (file: string): boolean => existsSync(join(directory, file));
  return {
    async attached() {
      if (script === null && has("attached")) {
        script = processRefOf(Number(await readFile(join(directory, "attached"), "utf8")));
        fifo.write("attached");
      }
      return script;
    },
    isStopped: () => has("stop"),
    write: fifo.write,
    async end(status) {
      try {
        await writeFileAtomically(join(directory, "status"), `${status}\n`);
      } finally {
        const isThere = (): boolean => script !== null && isAlive(script);
        await fifo.end(isThere);
        await within(SCRIPT_ENDS_WITHIN_MS, () => !isThere());
        await rm(directory, { recursive: true, force: true });
      }
    },
    async withdraw() {
      await rm(directory, { recursive: true, force: true });
      await fifo.end(() => false);
    },
  };
}

/** @throws when something else is there, or somebody else may write to it */
async function makeOwnDirectory(path: string, mode: number): Promise<void> {
  await mkdir(path, { mode }).catch((error: unknown) => {
    if (!existsSync(path)) throw error;
  });
  const found = await lstat(path);
  if (!found.isDirectory() || found.uid !== ownUser().uid || (found.mode & 0o022) !== 0) {
    throw new Error(`${path} is not a directory that only the agent can change: remove it`);
  }
}

async function makeFifo(path: string): Promise<string> {
  const { exitCode, stderr, startFailure } = await runProcess(
    {
      program: "mkfifo",
      args: [path],
      env: { PATH: CHILD_PATH },
      user: ownUser(),
      umask: "077",
      fileDirectory: dirname(path),
    },
    { ladder: HOOK_LADDER, timeLimitMs: 30_000 },
  );
  if (exitCode !== 0) throw new Error(startFailure ?? `mkfifo: ${stderr.trim()}`);
  return path;
}

interface Fifo {
  write(line: string): void;
  /** Waits until what was written is read, as long as somebody reads, but not for long. */
  end(isRead: () => boolean): Promise<void>;
}

/** Opened for both, so that opening waits for nobody. The reader sees an end once this process closes it or is gone. */
function openFifo(path: string): Fifo {
  const { O_RDWR, O_NONBLOCK, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW);
  if (!fstatSync(fd).isFIFO()) {
    closeSync(fd);
    throw new Error(`${path} is not a FIFO`);
  }
  const waiting: Buffer[] = [];
  let bytes = 0;
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    clearTimeout(timer);
    try {
      for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
        const written = writeSync(fd, first);
        bytes -= written;
        if (written < first.length) waiting[0] = first.subarray(written);
        else waiting.shift();
      }
    } catch {
      // It is full: the reader is slow.
      timer = setTimeout(flush, AGAIN_AFTER_MS).unref();
    }
  };
  return {
    write(line) {
      const more = Buffer.from(`${line}\n`);
      if (bytes + more.length > MOST_WAITING_BYTES) return;
      bytes += more.length;
      waiting.push(more);
      if (waiting.length === 1) flush();
    },
    async end(isRead) {
      await within(WRITTEN_WITHIN_MS, () => bytes === 0 || !isRead());
      clearTimeout(timer);
      closeSync(fd);
    },
  };
}

async function within(milliseconds: number, isSo: () => boolean): Promise<void> {
  const end = performance.now() + milliseconds;
  while (!isSo() && performance.now() < end) await delay(10);
}
