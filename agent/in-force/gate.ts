import type { AssignedContract, AssignedRepository } from "../../shared/assignment.ts";
import type { Environment } from "../../shared/environment.ts";
import type { Paths } from "../config.ts";
import type { Ask } from "../policy/ask.ts";
import { PolicyError } from "../policy/check.ts";
import { decide, type Wish } from "../policy/decide.ts";
import type { Policy } from "../policy/policy.ts";
import { askRoot } from "../policy/waiting.ts";
import { runError } from "../run-error.ts";
import { loadDecideState } from "./grant-state.ts";

export interface GateDeps {
  readonly paths: Paths;
  readonly clock: { now(): number };
}

interface GateInput {
  /** The policy as it counts for this contract. */
  readonly policy: Policy;
  readonly contract: AssignedContract;
  readonly repository: AssignedRepository;
  /** The name of the binding that wants it. */
  readonly binding: string;
}

/**
 * The gate of every run: nothing is read, written, sent or started for a contract and a repository that this host has
 * not granted. Decided when it is used, whatever was decided before.
 * @throws PolicyError, or `policy.approval_needed`
 */
export async function requireGranted(deps: GateDeps, input: GateInput): Promise<void> {
  const { policy, contract, repository, binding } = input;
  const state = await loadDecideState(deps.paths, policy);
  const wishes: Wish[] = [
    { kind: "repository", repository },
    { kind: "contract", contract },
  ];
  const asks: Ask[] = [];
  for (const wish of wishes) {
    const decision = decide(policy, state, wish);
    if (decision.verdict === "refused") throw new PolicyError(decision.code, decision.message);
    if (decision.verdict === "waits") asks.push(...decision.asks);
  }
  await throwWaiting(deps, { asks, binding });
}

/**
 * For what shows only while something runs. Notes what is not granted, so that root sees it.
 * @throws `policy.approval_needed` when anything is not granted
 */
export async function requireApproval(
  deps: GateDeps,
  { asks, policy, binding }: { asks: readonly Ask[]; policy: Policy; binding: string },
): Promise<void> {
  if (asks.length === 0) return;
  const { granted } = await loadDecideState(deps.paths, policy);
  const waiting = asks.filter(({ key }) => !granted.has(key));
  if (waiting.length > 0) await throwWaiting(deps, { asks: waiting, binding });
}

/** Before a hook or a command gets its secrets. @throws PolicyError, or `policy.approval_needed` */
export async function requireEnvironment(
  deps: GateDeps,
  input: { policy: Policy; environment: Environment; user: string; binding: string },
): Promise<void> {
  const { policy, environment, user, binding } = input;
  const state = await loadDecideState(deps.paths, policy);
  const decision = decide(policy, state, { kind: "environment", environment, user });
  if (decision.verdict === "refused") throw new PolicyError(decision.code, decision.message);
  if (decision.verdict === "waits") await throwWaiting(deps, { asks: decision.asks, binding });
}

async function throwWaiting(
  deps: GateDeps,
  { asks, binding }: { asks: readonly Ask[]; binding: string },
): Promise<void> {
  const [first] = asks;
  if (first === undefined) return;
  await askRoot(deps, asks, { bindings: [binding] });
  const more = asks.length === 1 ? "" : ` (and ${asks.length - 1} more)`;
  throw runError(
    "policy.approval_needed",
    `this waits for root on this host${more}: ${first.summary}`,
    `On the host, as root: holdfast-agent approve ${first.key}`,
  );
}
