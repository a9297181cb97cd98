import { runError } from "../run-error.ts";

const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * One signal for both reasons to stop a run: it was cancelled, or it takes too long. Its reason is the RunError to end
 * with.
 * @param begin the work to stop. The limit counts from the call, in ms
 */
export async function withStopSignal<T>(
  { signal, limitMs }: { signal: AbortSignal; limitMs: number },
  begin: (stopped: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const cancel = (): void => stop.abort(runError("run.cancelled", "the run was cancelled"));
  const timer = setTimeout(
    () => stop.abort(runError("run.timed_out", `the run was stopped after ${limitMs / 1000} s, as runTimeLimit says`)),
    Math.min(limitMs, MAX_TIMER_MS),
  );
  signal.addEventListener("abort", cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    return await begin(stop.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
  }
}
