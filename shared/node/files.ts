import { randomUUID } from "node:crypto";
import { link, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/**
 * Writes a file so that after a power cut it holds the old text or the new one, never a part of either. Creates missing
 * directories with mode 0700.
 * @param mode of the file, whatever the umask
 */
export async function writeFileAtomically(path: string, text: string, mode = 0o600): Promise<void> {
  await withTempFile({ path, text, mode }, (tempPath) => rename(tempPath, path));
}

/**
 * Creates a file that must not exist yet, whole and durable as above. Of two callers at once, one succeeds.
 * @returns false when it already exists
 */
export async function createFileAtomically(path: string, text: string, mode = 0o600): Promise<boolean> {
  return await withTempFile({ path, text, mode }, async (tempPath) => {
    try {
      await link(tempPath, path);
      return true;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
      throw error;
    }
  });
}

const TEMP_FILE = /\.(\d+)-[0-9a-f-]+\.tmp$/;

/**
 * Removes temporary files of killed processes. Called at the start of a process: a killed one may have had the same
 * pid.
 */
export async function removeStaleTempFiles(
  directories: readonly string[],
  isRunning: (pid: number) => boolean = hasProcess,
): Promise<void> {
  for (const directory of directories) {
    for (const name of await readdir(directory).catch(() => [])) {
      const pid = Number(TEMP_FILE.exec(name)?.[1] ?? Number.NaN);
      const isOurs = Number.isInteger(pid) && (pid === process.pid || !isRunning(pid));
      if (isOurs) await rm(join(directory, name), { force: true });
    }
  }
}

function hasProcess(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Another user's process: it may not be signalled, but it exists.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

async function withTempFile<T>(
  { path, text, mode }: { path: string; text: string; mode: number },
  put: (tempPath: string) => Promise<T>,
): Promise<T> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const tempPath = `${path}.${process.pid}-${randomUUID()}.tmp`;
  try {
    await writeTempFile(tempPath, { path, text, mode });
    return await put(tempPath);
  } finally {
    await rm(tempPath, { force: true });
    await syncDirectory(directory);
  }
}

/** Errors of a write (a full disk above all) name the problem but not the path: add it. */
async function writeTempFile(
  tempPath: string,
  { path, text, mode }: { path: string; text: string; mode: number },
): Promise<void> {
  try {
    const file = await open(tempPath, "wx", mode);
    try {
      await file.chmod(mode);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof Error) error.message = `${path} can't be written: ${error.message}`;
    throw error;
  }
}

/** @returns null when there is no such file. @throws any other error */
export async function readTextIfExists(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** @returns nothing when there is no such directory; any other trouble is thrown */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

/** Makes renames and removals in the directory survive a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
