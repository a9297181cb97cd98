import { join } from "node:path";
import type { RunUser } from "./process/user.ts";

/** The command that starts this program again: one file when compiled, otherwise a script and its runtime. */
export function ownProgram(): string[] {
  const { filename, dirname } = import.meta;
  if (filename.startsWith("/$bunfs/")) return [process.execPath];
  return [process.execPath, filename.endsWith(".ts") ? join(dirname, "../main.ts") : filename];
}

/** In the environment of this program: whom it has to become before it does anything. */
const BECOME = "HOLDFAST_BECOME";

/**
 * The command that does a verb of this program as another user. That user may not be able to read the program, in
 * somebody's private home: so the agent's user starts it, and it becomes that user once it is loaded.
 */
export function ownProgramAs({ name, uid, gid, needsSwitch }: RunUser): string[] {
  return needsSwitch ? ["env", `${BECOME}=${uid}:${gid}:${name}`, ...ownProgram()] : ownProgram();
}

/** To be called first, before anything given from outside is looked at. Throws when it can't become that user. */
export function becomeWantedUser(env: NodeJS.ProcessEnv): void {
  const [, uid, gid, name] = /^(\d+):(\d+):(.+)$/.exec(env[BECOME] ?? "") ?? [];
  delete env[BECOME];
  if (uid === undefined || gid === undefined || name === undefined) return;
  const own: NodeJS.Process & { initgroups?: (user: string, group: number) => void } = process;
  own.initgroups?.(name, Number(gid));
  process.setgid?.(Number(gid));
  process.setuid?.(Number(uid));
  if (process.getuid?.() !== Number(uid) || process.getgid?.() !== Number(gid)) throw new Error(`can't become ${name}`);
}
