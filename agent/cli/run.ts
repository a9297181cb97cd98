import { realTimers } from "../system/timers.ts";
import { runDaemon } from "../daemon/daemon.ts";
import { searchPathsFrom } from "../detect/search-paths.ts";
import type { Verb } from "./verb.ts";

/** The daemon. The journal puts its own time before each line. */
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
    // What is still open then (a socket's goodbye, a hanging request) must not keep the service from ending.
    process.exit(status);
  },
};
