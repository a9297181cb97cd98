import { EXIT } from "../../shared/node/arguments.ts";
import { listSnapshots } from "../runs.ts";
import { loadBindingContext } from "./host.ts";
import type { Verb } from "./verb.ts";

/** Prints one full snapshot id per line, oldest first, and nothing else. */
export const snapshots: Verb = {
  name: "snapshots",
  help: { usage: "snapshots BINDING [--json]", summary: "ids of the snapshots, oldest first" },
  takes: { flags: ["json"], names: ["BINDING"] },
  async run(deps, given) {
    const host = await loadBindingContext(deps, given.name(0));
    const listed = (await listSnapshots(host.runner, host.target)).toSorted((one, other) =>
      one.takenAt < other.takenAt ? -1 : one.takenAt > other.takenAt ? 1 : 0,
    );
    deps.out(given.flag("json") ? `${JSON.stringify(listed, null, 2)}\n` : listed.map(({ id }) => `${id}\n`).join(""));
    return EXIT.done;
  },
};
