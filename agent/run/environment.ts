import type { AssignedBinding } from "../../shared/assignment.ts";
import type { Environment } from "../../shared/environment.ts";
import { requireEnvironment } from "../in-force/gate.ts";
import { readEnvironment } from "../policy/secrets.ts";
import type { Prepared } from "./access.ts";
import type { RunnerDeps } from "./deps.ts";

/**
 * The secrets of a binding for its hooks and commands, read now, and hidden in the run's log from now on.
 * @throws `policy.approval_needed`, `secret.unreadable`, or PolicyError
 */
export async function prepareEnvironment(
  deps: Pick<RunnerDeps, "paths" | "clock">,
  input: {
    readonly prepared: Pick<Prepared, "access" | "contract" | "policy">;
    readonly binding: AssignedBinding;
    /** Who gets them; the contract's user when not given. */
    readonly user?: string;
  },
): Promise<Record<string, string>> {
  const { prepared, binding } = input;
  const { access, contract, policy } = prepared;
  // As in Self Host Blocks: the tool runs as the same user, with the same credentials. A contract of the control
  // plane's gets none of them.
  const { GOOGLE_APPLICATION_CREDENTIALS: _file, ...credentials } = access.secrets.env;
  const ofTool = policy.isDeclared ? credentials : {};
  const environment: Environment = binding.settings.environment ?? {};
  if (Object.keys(environment).length === 0) return ofTool;
  const { user = contract.request.user } = input;
  await requireEnvironment(deps, { policy, environment, user, binding: binding.name });
  const values = await readEnvironment(deps, { environment, repository: access.repository });
  access.log.hide(Object.values(values));
  return { ...ofTool, ...values };
}

/** A bash script with these variables. Not in the script's argv, nor in that of whatever starts it. */
export function withEnvironment(script: string, environment: Readonly<Record<string, string>>): string {
  const exports = Object.entries(environment).map(([name, value]) => `export ${name}=${quoted(value)}; `);
  return exports.join("") + script;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
