import type { AssignedBinding, Assignment } from "../../shared/assignment.ts";
import { loadInForce } from "../in-force/in-force.ts";
import { type AgentConfig, readConfig } from "../config.ts";
import type { RunnerDeps } from "../run/deps.ts";
import { openSpool } from "../state/spool.ts";
import { UsageError } from "../../shared/node/arguments.ts";
import type { CliDeps } from "./deps.ts";

export interface HostContext {
  config: AgentConfig;
  runner: RunnerDeps;
  assignment: Assignment;
}

/** Config, assignment and runner for a CLI verb. Throws when not enrolled or without an assignment. */
export async function loadHostContext(deps: CliDeps): Promise<HostContext> {
  const config = await readConfig(deps.paths);
  if (config === null)
    throw new Error("this machine is not enrolled: run 'holdfast-agent enroll --url URL --token-file FILE' first");
  const assignment = await loadInForce({ ...deps, config });
  if (assignment === null) {
    throw new Error(
      "this host has no assignment yet: is the agent running ('holdfast-agent run'), and does it reach its control plane?",
    );
  }
  const spool = openSpool(deps.paths);
  return { config, runner: { ...deps, spool, onProgress: () => {} }, assignment };
}

interface BindingContext extends HostContext {
  target: { assignment: Assignment; binding: AssignedBinding };
}

/** The same, with one of its bindings. Throws UsageError. */
export async function loadBindingContext(deps: CliDeps, wanted: string): Promise<BindingContext> {
  const host = await loadHostContext(deps);
  const { assignment } = host;
  const binding = assignment.bindings.find(({ id, name }) => id === wanted || name === wanted);
  if (binding !== undefined) return { ...host, target: { assignment, binding } };
  const names = assignment.bindings.map(({ name }) => name);
  throw new UsageError(
    `no binding '${wanted}' here; ${names.length === 0 ? "there is none yet" : `there is: ${names.join(", ")}`}`,
  );
}
