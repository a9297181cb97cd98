import { realTimers } from "../system/timers.ts";
import { runDaemon } from "../daemon/daemon.ts";
import { searchPathsFrom } from "../detect/search-paths.ts";
import type { Verb } from "./verb.ts";

/** The daemon. The journal adds its own time to each line. */
export const run: Verb = {
  name: "run",
  help: { usage: "run", summary: "the daemon: keep the schedule, take orders, report" },
  takes: {},
  async run(deps) {
    const isInJournal = deps.env["JOURNAL_STREAM"] !== undefined;
    const log = (line: string): void => deps.log(isInJournal ? line : `${new Date().toISOString()} ${line}`);
    const status = await runDaemon(
      { ...deps, log, timers: realTimers, searchPaths: searchPathsFrom(deps.env) },
      deps.stopSignal(),
    );
    // Open handles (a closing socket, a hanging request) must not delay the exit.
    process.exit(status);
  },
};
