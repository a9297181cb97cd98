import { listSnapshots } from "../runs.ts";
import { type CliDeps, EXIT } from "./deps.ts";
import { loadBindingContext } from "./host.ts";
import { printRunError } from "./print-outcome.ts";

/** Prints one full snapshot id per line, oldest first, and nothing else. */
export async function snapshotsCommand(deps: CliDeps, input: { binding: string; json: boolean }): Promise<number> {
  const host = await loadBindingContext(deps, input.binding);
  try {
    const listed = await listSnapshots(host.runner, host.target);
    const snapshots = listed.toSorted((one, other) =>
      one.takenAt < other.takenAt ? -1 : one.takenAt > other.takenAt ? 1 : 0,
    );
    deps.out(input.json ? `${JSON.stringify(snapshots, null, 2)}\n` : snapshots.map(({ id }) => `${id}\n`).join(""));
    return EXIT.done;
  } catch (error) {
    return printRunError(deps, error);
  }
}
