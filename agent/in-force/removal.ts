import { type AppendOnlyInput, decideRemoval } from "../policy/append-only.ts";
import { type GateDeps, requireApproval } from "./gate.ts";

/**
 * Nothing is removed from a repository that is append-only for this host.
 * @throws `repository.append_only`, PolicyError, or `policy.approval_needed` where only this host's memory says so
 */
export async function requireRemovable(
  deps: GateDeps,
  { binding, ...place }: AppendOnlyInput & { readonly binding: string },
): Promise<void> {
  const decision = await decideRemoval(place);
  if (decision.verdict === "refused") throw decision.error;
  if (decision.verdict === "allowed") return;
  await requireApproval(deps, { asks: [decision.ask], policy: place.policy, binding });
}
