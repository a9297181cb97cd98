import { EXIT } from "../../shared/node/arguments.ts";

const REPEATED_SIGNAL_MS = 2_000;

/**
 * Aborts when somebody wants this process to stop. Asked again later, it goes at once, and what is left over is ended by
 * the next daemon. At once again is the same wish: Ctrl-C reaches us from the terminal and from whoever started us.
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
