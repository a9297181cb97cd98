import { chmod, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CHILD_PATH } from "./executables.ts";
import { HOOK_LADDER } from "./process/kill-ladder.ts";
import { runProcess } from "./process/process.ts";
import { ownUser, type RunUser } from "./process/user.ts";

/** One directory on the way to a file, as stat(2) shows it. */
export interface Passage {
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface Walker {
  readonly uid: number;
  /** Primary and supplementary. */
  readonly groups: readonly number[];
}

/**
 * What has to change so that a user can walk through a directory. Only one class of its mode counts: the owner's, else
 * the group's, else that of all others.
 * @returns for chmod; null when the user can
 */
export function missingPermission(walker: Walker, { mode, uid, gid }: Passage): "u+x" | "g+x" | "o+x" | null {
  if (walker.uid === 0) return null;
  if (walker.uid === uid) return (mode & 0o100) === 0 ? "u+x" : null;
  if (walker.groups.includes(gid)) return (mode & 0o010) === 0 ? "g+x" : null;
  return (mode & 0o001) === 0 ? "o+x" : null;
}

/** The next step for a person when a user can't get to a path. */
export async function passageAdvice(user: RunUser, path: string): Promise<string> {
  return (
    (await closedDirectories(user, path)) ??
    `Look what keeps user "${user.name}" out: namei -l ${path}, getfacl, mount options.`
  );
}

/** What to change so that a user can walk to a path, computed from what is there; null when no mode is in the way. */
export async function closedDirectories(user: RunUser, path: string): Promise<string | null> {
  const walker = { uid: user.uid, groups: [user.gid, ...(await groupsOf(user))] };
  const steps = (await directoriesTo(path)).flatMap((passage) => {
    const permission = missingPermission(walker, passage);
    return permission === null ? [] : [`chmod ${permission} ${passage.path}`];
  });
  if (steps.length === 0) return null;
  return `Let user "${user.name}" walk through: ${steps.join("; ")}. Or keep it elsewhere, below directories that all may walk through.`;
}

/**
 * Lets others walk through the agent's own directories, but not read them: it may have created them for itself only.
 * Nothing in them is meant for others but what has its own mode.
 * @param last the highest one that is the agent's
 */
export async function letOthersThrough(directory: string, last: string): Promise<void> {
  for (let path = directory; path !== "/"; path = dirname(path)) {
    const { mode, uid } = await stat(path);
    if (uid === ownUser().uid && (mode & 0o011) !== 0o011) await chmod(path, (mode & 0o7777) | 0o011);
    if (path === last) return;
  }
}

/** Whether a user can create files in a directory. */
export async function canWriteIn(user: RunUser, directory: string, fileDirectory: string): Promise<boolean> {
  return await succeedsAs(user, CAN_WRITE, { directory, fileDirectory });
}

/**
 * Makes a directory where there is none, as the user: root would follow a link that the user has put there.
 * @returns whether the user can create files in it
 */
export async function makeAs(user: RunUser, directory: string, fileDirectory: string): Promise<boolean> {
  return await succeedsAs(user, `mkdir -p "$1" && ${CAN_WRITE}`, { directory, fileDirectory });
}

const CAN_WRITE = 'test -w "$1" && test -x "$1"';

async function succeedsAs(
  user: RunUser,
  script: string,
  { directory, fileDirectory }: { directory: string; fileDirectory: string },
): Promise<boolean> {
  const command = { program: "/bin/sh", args: ["-c", script, "sh", directory], env: { PATH: CHILD_PATH } };
  const limits = { ladder: HOOK_LADDER, timeLimitMs: 30_000 };
  return (await runProcess({ ...command, user, umask: "077", fileDirectory }, limits)).exitCode === 0;
}

async function directoriesTo(path: string): Promise<Passage[]> {
  const names = dirname(path).split("/").slice(1);
  const found: Passage[] = [];
  for (let count = 0; count <= names.length; count++) {
    const directory = join("/", ...names.slice(0, count));
    if (directory === found.at(-1)?.path) continue;
    const { mode, uid, gid } = await stat(directory).catch(() => ({ mode: 0o777, uid: 0, gid: 0 }));
    found.push({ path: directory, mode, uid, gid });
  }
  return found;
}

async function groupsOf({ name }: RunUser): Promise<number[]> {
  const words: string[] = [];
  const command = { program: "id", args: ["-G", "--", name], env: { PATH: CHILD_PATH } };
  await runProcess(
    { ...command, user: ownUser(), umask: "077", fileDirectory: "/" },
    { ladder: HOOK_LADDER, timeLimitMs: 30_000, onStdout: (line) => words.push(...line.split(" ")) },
  );
  return words.map(Number).filter(Number.isInteger);
}
