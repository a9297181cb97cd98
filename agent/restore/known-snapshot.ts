import type { AssignedBinding, RestoreRequest } from "../../shared/assignment.ts";
import type { SnapshotFacts, Trigger } from "../../shared/run.ts";
import { requireApproval } from "../in-force/gate.ts";
import { askFor } from "../policy/ask.ts";
import type { Policy } from "../policy/policy.ts";
import type { RunnerDeps } from "../run/deps.ts";
import { completeMade, readMade } from "../state/made-snapshots.ts";

interface KnownInput {
  readonly trigger: Trigger;
  readonly policy: Policy;
  readonly binding: Pick<AssignedBinding, "id" | "name">;
  readonly engineId: string;
  /** All that the repository lists for the binding, and the full id of the one to be restored. */
  readonly snapshots: readonly SnapshotFacts[];
  readonly snapshot: string;
  readonly restore: RestoreRequest;
}

/**
 * A snapshot that this host did not make may hold anything, such as programs that belong to root: where the control
 * plane orders its restore, root has to say yes. Root's own restores and level `open` ask nobody.
 * @throws `policy.approval_needed`
 */
export async function requireKnownSnapshot(deps: RunnerDeps, input: KnownInput): Promise<void> {
  const { trigger, policy, binding, engineId, snapshots, snapshot, restore } = input;
  if (trigger !== "order" || policy.level === "open" || restore.dryRun) return;
  const made = await readMade(deps.paths, { binding: binding.id, engineId });
  const known = completeMade(made, snapshots, deps.clock.now());
  if (known.snapshots.some(({ id }) => id === snapshot)) return;
  const { target, include, overwrite, delete: removes } = restore;
  const where = target === null ? "to where it was" : `to ${target}`;
  const content = { binding: binding.id, engineId, snapshot, target, include, overwrite, delete: removes };
  const summary = `Restore snapshot ${snapshot.slice(0, 8)} of ${binding.name} ${where}, which this host did not make`;
  await requireApproval(deps, { asks: [askFor("restore", content, summary)], policy, binding: binding.name });
}
