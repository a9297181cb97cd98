import { chmod, chown, mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CHILD_PATH } from "../system/executables.ts";
import { HOOK_LADDER } from "../system/process/kill-ladder.ts";
import { runProcess } from "../system/process/process.ts";
import type { Access } from "./provider.ts";

export interface WorkDirectories {
  /** The engine's cache between runs. */
  readonly cache: string;
  readonly temporary: string;
}

/**
 * Creates a cache and a directory for temporary files that belong to the run's user, on disk: /tmp may be too small for
 * either.
 * @returns null when the run's user can't access them
 */
export async function workDirectories(access: Access): Promise<WorkDirectories | null> {
  const { paths, user, repository } = access;
  const ofProvider = join(paths.cache, repository.provider);
  const cache = join(ofProvider, `${repository.id}-${user.uid}`);
  const temporary = join(cache, "tmp");
  await mkdir(ofProvider, { recursive: true, mode: 0o711 });
  // The machine's own /var and /var/cache are not ours to change; those of another root are.
  const stopAt = paths.root === "/" ? dirname(paths.cache) : paths.root;
  if (user.needsSwitch) await makeTraversable(ofProvider, stopAt);
  for (const directory of [cache, temporary]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    if (user.needsSwitch) await chown(directory, user.uid, user.gid);
  }
  return !user.needsSwitch || (await canUse(access, temporary)) ? { cache, temporary } : null;
}

/** The agent may have created them for itself only: lets others pass through, but not read. */
async function makeTraversable(directory: string, stopAt: string): Promise<void> {
  const own = process.getuid?.();
  for (let path = directory; path !== stopAt && path !== "/"; path = dirname(path)) {
    const { mode, uid } = await stat(path);
    if (uid === own && (mode & 0o011) !== 0o011) await chmod(path, (mode & 0o7777) | 0o011);
  }
}

async function canUse({ user, paths }: Access, directory: string): Promise<boolean> {
  const { exitCode } = await runProcess(
    {
      program: "/bin/sh",
      args: ["-c", 'test -w "$1" && test -x "$1"', "sh", directory],
      env: { PATH: CHILD_PATH },
      user,
      umask: "077",
      fileDirectory: paths.state,
    },
    { ladder: HOOK_LADDER, timeLimitMs: 30_000 },
  );
  return exitCode === 0;
}
