import { lstat, mkdir, readdir } from "node:fs/promises";
import type { RestoreRequest } from "../../shared/assignment.ts";
import { isMissing } from "../../shared/node/files.ts";
import type { Policy } from "../policy/policy.ts";
import { checkSource, PolicyError } from "../policy/check.ts";
import { runError } from "../run-error.ts";

/**
 * Sees to the directory that is restored to. What is in it already is mixed with only where the request says how; that is
 * as much as a restore in place, and needs the same leave. Throws RunError.
 */
export async function prepareTarget(target: string, restore: RestoreRequest, policy: Policy): Promise<void> {
  switch (await stateOf(target)) {
    case "missing":
      if (!restore.dryRun) await mkdir(target, { recursive: true, mode: 0o700 });
      return;
    case "empty":
      return;
    case "another":
      throw targetError(`${target} is not a directory`);
    case "filled":
      break;
  }
  if (restore.overwrite === "always" && !restore.delete) {
    throw targetError(
      `${target} is not an empty directory`,
      "Name a directory that is empty, or does not exist yet; or say what becomes of what is there: overwrite if-changed, if-newer or never, or delete.",
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

async function stateOf(target: string): Promise<"missing" | "empty" | "filled" | "another"> {
  try {
    if (!(await lstat(target)).isDirectory()) return "another";
    return (await readdir(target)).length === 0 ? "empty" : "filled";
  } catch (error) {
    if (isMissing(error)) return "missing";
    throw error;
  }
}
