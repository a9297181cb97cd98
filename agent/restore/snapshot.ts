import type { SnapshotFacts } from "../../shared/run.ts";
import { runError } from "../run-error.ts";

/**
 * Finds a snapshot of this binding.
 * @param input `wanted`: the beginning of its id, or `latest`
 * @throws `snapshot.missing`, also when several ids begin so
 */
export function chooseSnapshot(
  snapshots: SnapshotFacts[],
  { wanted, binding }: { wanted: string; binding: string },
): SnapshotFacts {
  const fitting = wanted === "latest" ? snapshots.slice(-1) : snapshots.filter(({ id }) => id.startsWith(wanted));
  const [found, another] = fitting;
  if (found === undefined) {
    throw runError(
      "snapshot.missing",
      `binding "${binding}" has no snapshot${wanted === "latest" ? "" : ` ${wanted}`}`,
    );
  }
  if (another !== undefined) throw runError("snapshot.missing", `${wanted} is the beginning of several snapshots' ids`);
  return found;
}
