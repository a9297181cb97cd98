import type { EngineFacts } from "../../shared/host.ts";
import { HOOK_LADDER } from "../process-ladder.ts";
import { CHILD_PATH, findExecutable } from "../process-path.ts";
import { runProcess } from "../process.ts";
import { ownUser } from "../process-user.ts";
import { runError } from "../runner-failure.ts";

export interface Restic {
  readonly path: string;
  readonly version: string;
  /** Whether it is this version or a newer one. */
  readonly isAtLeast: (version: string) => boolean;
}

const OLDEST = "0.14.0";
const VERSION_LIMIT_MS = 60_000;

/** The restic that HOLDFAST_RESTIC names, else the one in PATH; null when there is none. */
export async function findRestic(): Promise<EngineFacts | null> {
  const named = process.env["HOLDFAST_RESTIC"] ?? "";
  const path = await findExecutable(named === "" ? "restic" : named, process.env["PATH"] ?? CHILD_PATH);
  if (path === null) return null;
  const version = await versionOf(path);
  return version === null ? null : { provider: "restic", version, path, fault: null };
}

/** Throws `engine.missing` or `engine.unsupported`. */
export async function requireRestic(): Promise<Restic> {
  const found = await findRestic();
  if (found === null) {
    const named = process.env["HOLDFAST_RESTIC"] ?? "";
    throw runError(
      "engine.missing",
      named === "" ? "restic is not installed on this host" : `${named} is not a restic`,
    );
  }
  const { path, version } = found;
  if (!isAtLeast(version, OLDEST)) {
    throw runError("engine.unsupported", `${path} is restic ${version}; ${OLDEST} is the oldest that is supported`);
  }
  return { path, version, isAtLeast: (wanted) => isAtLeast(version, wanted) };
}

/** Asked each time: it takes 30 ms, and the package may have been upgraded since. */
async function versionOf(path: string): Promise<string | null> {
  const lines: string[] = [];
  await runProcess(
    {
      program: path,
      args: ["version"],
      env: { PATH: CHILD_PATH, HOME: "/" },
      user: ownUser(),
      umask: "077",
      fileDirectory: "/",
    },
    { ladder: HOOK_LADDER, timeLimitMs: VERSION_LIMIT_MS, onStdout: (line) => lines.push(line) },
  );
  return /^restic (\d+\.\d+\.\d+)/.exec(lines[0] ?? "")?.[1] ?? null;
}

function isAtLeast(version: string, wanted: string): boolean {
  const ours = version.split(".").map(Number);
  const theirs = wanted.split(".").map(Number);
  for (const [index, part] of theirs.entries()) {
    const difference = (ours[index] ?? 0) - part;
    if (difference !== 0) return difference > 0;
  }
  return true;
}
