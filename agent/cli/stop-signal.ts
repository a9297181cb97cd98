import { EXIT } from "../../shared/node/arguments.ts";

const REPEATED_SIGNAL_MS = 2_000;

/**
 * Aborts when this process is asked to stop. The first signal stops it gracefully. A second one more than 2 s later
 * exits at once, and the next daemon recovers the run. Within 2 s it counts as the same: Ctrl-C reaches us from the
 * terminal and from our parent.
 */
export function listenForStop(): AbortSignal {
  const stop = new AbortController();
  let firstSignalAt = 0;
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      if (!stop.signal.aborted) firstSignalAt = performance.now();
      else if (performance.now() - firstSignalAt > REPEATED_SIGNAL_MS) process.exit(EXIT.failed);
      stop.abort();
    });
  }
  return stop.signal;
}
