import { listSnapshots } from "../runs.ts";
import { type CliDeps, EXIT } from "./command.ts";
import { openBinding } from "./host.ts";
import { sayRunError } from "./outcome.ts";

/** Prints one full snapshot id per line, oldest first, and nothing else. */
export async function listByHand(deps: CliDeps, input: { binding: string; json: boolean }): Promise<number> {
  const host = await openBinding(deps, input.binding);
  try {
    const listed = await listSnapshots(host.runner, host.chosen);
    const snapshots = listed.toSorted((one, other) =>
      one.takenAt < other.takenAt ? -1 : one.takenAt > other.takenAt ? 1 : 0,
    );
    deps.out(input.json ? `${JSON.stringify(snapshots, null, 2)}\n` : snapshots.map(({ id }) => `${id}\n`).join(""));
    return EXIT.done;
  } catch (error) {
    return sayRunError(deps, error);
  }
}
