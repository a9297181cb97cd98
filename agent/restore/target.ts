import { lstat, mkdir, readdir } from "node:fs/promises";
import type { RestoreRequest } from "../../shared/assignment.ts";
import { isMissing } from "../../shared/node/files.ts";
import type { Policy } from "../policy/policy.ts";
import { checkSource, PolicyError } from "../policy/check.ts";
import { runError } from "../run-error.ts";

/**
 * Prepares the target directory. Restoring into a non-empty one needs an overwrite mode, and the same policy as a
 * restore in place. Throws RunError.
 */
export async function prepareTarget(target: string, restore: RestoreRequest, policy: Policy): Promise<void> {
  switch (await stateOf(target)) {
    case "missing":
      if (!restore.dryRun) await mkdir(target, { recursive: true, mode: 0o700 });
      return;
    case "empty":
      return;
    case "not-a-directory":
      throw targetError(`${target} is not a directory`);
    case "not-empty":
      break;
  }
  if (restore.overwrite === "always" && !restore.delete) {
    throw targetError(
      `${target} is not an empty directory`,
      "Name a directory that is empty, or does not exist yet; or choose how existing files are handled: overwrite if-changed, if-newer or never, or delete.",
    );
  }
  if (target === "/") throw targetError("the root is no target", "Leave the target out: that restores in place.");
  if (policy.restore !== "in-place") {
    throw new PolicyError("policy.restore", `the host's policy allows restores to an empty directory only: ${target}`);
  }
  checkSource(policy, target);
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
