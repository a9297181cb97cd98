import { link, readFile, rename, rm } from "node:fs/promises";
import * as z from "zod";
import { Instant, instant } from "../shared/ids.ts";
import type { Paths } from "./config.ts";
import { isMissing, readTextIfThere, writeFileAtomically } from "./files.ts";
import { parseJson } from "./json.ts";
import { isAlive, ownMark, ProcessMark } from "./process-mark.ts";

/** What the running daemon says of itself, for `status` and `doctor`. */
export const DaemonState = z.strictObject({
  process: ProcessMark,
  socket: z.enum(["open", "closed"]),
  since: Instant,
  clockOffsetMs: z.number(),
});
export type DaemonState = z.infer<typeof DaemonState>;

export type Claim = { ok: true; release: () => Promise<void> } | { ok: false; pid: number };

/** Makes this process the one daemon of its root, or says which process is. A claim of a process that is gone is taken over. */
export async function claimDaemon(paths: Paths): Promise<Claim> {
  const lock = `${paths.daemonFile}.lock`;
  const own = JSON.stringify(ownMark());
  const draft = `${lock}.${process.pid}`;
  await writeFileAtomically(draft, own);
  try {
    for (;;) {
      if (await linked(draft, lock)) return { ok: true, release: () => release(paths, lock, own) };
      const owner = await ownerOf(lock);
      if (owner !== null && isAlive(owner)) return { ok: false, pid: owner.pid };
      await takeAway(lock, `${draft}.old`);
    }
  } finally {
    await rm(draft, { force: true });
  }
}

/** @returns null when no daemon runs */
export async function readDaemonState(paths: Paths): Promise<DaemonState | null> {
  const state = DaemonState.safeParse(parseJson((await readTextIfThere(paths.daemonFile)) ?? ""));
  return state.success && isAlive(state.data.process) ? state.data : null;
}

export async function writeDaemonState(
  paths: Paths,
  state: { isOnline: boolean; now: number; clockOffsetMs: number },
): Promise<void> {
  const text: DaemonState = {
    process: ownMark(),
    socket: state.isOnline ? "open" : "closed",
    since: instant(state.now),
    clockOffsetMs: state.clockOffsetMs,
  };
  await writeFileAtomically(paths.daemonFile, JSON.stringify(text));
}

async function linked(draft: string, lock: string): Promise<boolean> {
  try {
    await link(draft, lock);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

/** Two may find the same dead claim: who moved away a living one's puts it back. */
async function takeAway(lock: string, aside: string): Promise<void> {
  try {
    await rename(lock, aside);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  const owner = await ownerOf(aside);
  if (owner !== null && isAlive(owner)) await linked(aside, lock);
  await rm(aside, { force: true });
}

async function ownerOf(file: string): Promise<ProcessMark | null> {
  const owner = ProcessMark.safeParse(parseJson((await readTextIfThere(file)) ?? ""));
  return owner.success ? owner.data : null;
}

async function release(paths: Paths, lock: string, own: string): Promise<void> {
  await rm(paths.daemonFile, { force: true });
  if ((await readFile(lock, "utf8")) === own) await rm(lock, { force: true });
}
