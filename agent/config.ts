import { join } from "node:path";

/** Where everything of one agent lives on its host. All of it moves with HOLDFAST_AGENT_ROOT. */
export interface Paths {
  /** `/etc/holdfast`: the host owner's files. */
  readonly etc: string;
  readonly agentJson: string;
  readonly policyJson: string;
  readonly hooksDir: string;
  /** `/var/lib/holdfast`, 0700: the agent's own state. */
  readonly state: string;
  readonly keyFile: string;
  readonly assignmentFile: string;
  readonly ordersDir: string;
  readonly spoolDir: string;
  readonly bindingsDir: string;
  readonly repositoriesDir: string;
  readonly secretsDir: string;
  readonly locksDir: string;
  readonly cache: string;
}

/** @param root `HOLDFAST_AGENT_ROOT`, or "" for the machine itself */
export function agentPaths(root: string): Paths {
  const etc = join("/", root, "etc/holdfast");
  const state = join("/", root, "var/lib/holdfast");
  return {
    etc,
    agentJson: join(etc, "agent.json"),
    policyJson: join(etc, "policy.json"),
    hooksDir: join(etc, "hooks.d"),
    state,
    keyFile: join(state, "host.key"),
    assignmentFile: join(state, "assignment.jws"),
    ordersDir: join(state, "orders"),
    spoolDir: join(state, "spool"),
    bindingsDir: join(state, "bindings"),
    repositoriesDir: join(state, "repositories"),
    secretsDir: join(state, "secrets"),
    locksDir: join(state, "locks"),
    cache: join("/", root, "var/cache/holdfast"),
  };
}
