import type { Assignment } from "../../shared/assignment.ts";
import { resolveContract } from "../declared/policy.ts";
import { restoreFault } from "../run/restore-command.ts";
import type { CliDeps } from "./deps.ts";

/** Looks whether each database's restoreCmd could run here now: on the day it is needed is too late. */
export async function examineRestores(
  deps: Pick<CliDeps, "paths" | "clock">,
  {
    assignment,
    found,
  }: { assignment: Assignment; found: (level: "ok" | "warn", subject: string, message: string) => void },
): Promise<void> {
  for (const { contract: id, name } of assignment.bindings) {
    const assigned = assignment.contracts.find((contract) => contract.id === id);
    if (assigned?.kind !== "databasebackup") continue;
    const { contract, policy } = await resolveContract(deps.paths, assigned);
    if (contract.kind !== "databasebackup") continue;
    const fault = await restoreFault(deps, { contract, policy, binding: name });
    const subject = `restore of ${name}`;
    if (fault === null) found("ok", subject, "nothing is known that its restoreCmd lacks here");
    else found("warn", subject, `it would fail: ${fault.failure.message}. ${fault.failure.next}`);
  }
}
