import { lchown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { runError, type RunError } from "../run-error.ts";
import { letOthersThrough, makeAs, passageAdvice } from "../system/passage.ts";
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
  // The machine's own /var and /var/cache are not ours to change; those of another root are, and it is too.
  if (user.needsSwitch) await letOthersThrough(ofProvider, paths.root === "/" ? paths.cache : paths.root);
  await mkdir(user.needsSwitch ? cache : temporary, { recursive: true, mode: 0o700 });
  if (!user.needsSwitch) return { cache, temporary };
  await lchown(cache, user.uid, user.gid);
  return (await makeAs(user, temporary, paths.state)) ? { cache, temporary } : null;
}

/** For an engine that can't work without them. */
export async function unreachableCache({ user, paths, repository }: Access, why: string): Promise<RunError> {
  const directory = join(paths.cache, repository.provider);
  const advice = await passageAdvice(user, join(directory, "tmp"));
  return runError("host.failed", `user ${user.name} can't get to ${directory}, and ${why}`, advice);
}
