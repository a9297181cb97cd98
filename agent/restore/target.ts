import { lstat, mkdir, readdir } from "node:fs/promises";
import type { RestoreRequest } from "../../shared/assignment.ts";
import { isMissing } from "../../shared/node/files.ts";
import type { Paths } from "../config.ts";
import { refuseProtected } from "../policy/protected.ts";
import { realPathSoFar } from "../system/real-path.ts";
import type { Policy } from "../policy/policy.ts";
import { checkSource, PolicyError } from "../policy/check.ts";
import { runError } from "../run-error.ts";

/**
 * Checks and makes the directory that is restored to. Writing into one that is not empty is as much as a restore in
 * place, and needs the same permission; nothing is restored into a protected place, whatever is there.
 * @returns where it really is, behind the symbolic links above it. Throws RunError
 */
export async function prepareTarget(
  paths: Paths,
  { target, restore, policy }: { target: string; restore: RestoreRequest; policy: Policy },
): Promise<string> {
  const real = realPathSoFar(target);
  refuseProtected(paths, real);
  switch (await stateOf(target)) {
    case "missing":
      if (!restore.dryRun) await mkdir(real, { recursive: true, mode: 0o700 });
      return real;
    case "empty":
      return real;
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
  return real;
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
