import { closeSync, fstatSync } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf } from "../../shared/error-message.ts";
import type { RestoreRequest } from "../../shared/assignment.ts";
import { isMissing } from "../../shared/node/files.ts";
import type { Paths } from "../config.ts";
import { isOursAlone, makeIn, openDirectory } from "../system/descriptors.ts";
import { ourDirectories, realPathByOurLinks } from "./ours.ts";
import { refuseProtected } from "../policy/protected.ts";
import type { Policy } from "../policy/policy.ts";
import { checkSource, PolicyError } from "../policy/check.ts";
import { runError } from "../run-error.ts";

interface Target {
  /** Where it really is, behind the symbolic links above it. */
  readonly path: string;
  /** Nobody but root and the agent's user can enter it or rename a directory above it, and there is nothing in it. */
  readonly isClosed: boolean;
}

/**
 * Checks and makes the directory that is restored to. Writing into one that is not empty is as much as a restore in
 * place, and needs the same permission; nothing is restored into a protected place, whatever is there.
 * Throws RunError.
 */
export async function prepareTarget(
  paths: Paths,
  { target, restore, policy }: { target: string; restore: RestoreRequest; policy: Policy },
): Promise<Target> {
  const real = realPathByOurLinks(target);
  refuseProtected(paths, real);
  switch (await stateOf(target)) {
    case "missing":
      if (!restore.dryRun) make(real);
      return { path: real, isClosed: isClosed(real) };
    case "empty":
      return { path: real, isClosed: isClosed(real) };
    case "not-a-directory":
      throw targetError(`${target} is not a directory`);
    case "not-empty":
      break;
  }
  if (restore.overwrite === "always" && !restore.delete) {
    throw targetError(
      `${target} is not an empty directory`,
      "Name a directory that is empty, or does not exist yet; or say what becomes of what is there: overwrite if-changed, if-newer or never, or delete.",
    );
  }
  if (real === "/") throw targetError("the root is no target", "Leave the target out: that restores in place.");
  if (policy.restore !== "in-place") {
    throw new PolicyError("policy.restore", `the host's policy allows restores to an empty directory only: ${target}`);
  }
  checkSource(policy, target);
  checkSource(policy, real);
  return { path: real, isClosed: false };
}

/** Links that somebody puts above it now are not followed. Throws RunError. */
function make(target: string): void {
  try {
    closeSync(openDirectory(target, (above, name) => makeIn(above, name)));
  } catch (error) {
    throw targetError(`${target} can't be made: ${messageOf(error)}`);
  }
}

function isClosed(target: string): boolean {
  if (ourDirectories(dirname(target))[0] !== dirname(target)) return false;
  try {
    const directory = openDirectory(target);
    const there = fstatSync(directory);
    closeSync(directory);
    return isOursAlone(there) && (there.mode & 0o077) === 0;
  } catch {
    return false;
  }
}

function targetError(what: string, next = "Name a directory that is empty, or does not exist yet.") {
  return runError("restore.incomplete", `${what}; nothing was restored`, next);
}

async function stateOf(target: string): Promise<"missing" | "empty" | "not-empty" | "not-a-directory"> {
  try {
    if (!(await lstat(target)).isDirectory()) return "not-a-directory";
    return (await readdir(target)).length === 0 ? "empty" : "not-empty";
  } catch (error) {
    if (isMissing(error)) return "missing";
    throw error;
  }
}
