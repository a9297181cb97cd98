import type { Assignment, Order } from "../../shared/assignment.ts";
import { decide } from "../policy/decide.ts";
import { loadPolicy } from "../policy/policy.ts";
import { askRoot } from "../policy/waiting.ts";
import type { GateDeps } from "./gate.ts";
import { loadDecideState } from "./grant-state.ts";

/**
 * Whether this host carries out an order now. One that waits for root is shown to root until it expires, and is decided
 * again with each pull. One that is refused is begun: the gate of its run refuses it, and so its run says why.
 */
export async function decideOrder(deps: GateDeps, order: Order, assignment: Assignment | null): Promise<boolean> {
  const policy = await loadPolicy(deps.paths);
  const decision = decide(policy, await loadDecideState(deps.paths, policy), { kind: "order", order });
  if (decision.verdict !== "waits") return true;
  const binding = "binding" in order ? assignment?.bindings.find(({ id }) => id === order.binding)?.name : undefined;
  const bindings = binding === undefined ? [] : [binding];
  await askRoot(deps, decision.asks, { bindings, until: order.expiresAt });
  return false;
}
