import { uptime } from "node:os";
import { bootId, processRefOf } from "./process/process-ref.ts";

/** One start of the machine, or of the container the agent runs in. */
export interface Boot {
  readonly id: string;
  /** When it was, in ms by the clock as it is now. */
  readonly at: number;
}

/** As the kernel counts in /proc, on every architecture we know. */
const TICKS_PER_SECOND = 100;

/**
 * The start of the first process: in a container the machine's uptime counts from long before. systemd does the same
 * with OnBootSec there.
 * @param now ms since 1970
 */
export function bootOf(now: number): Boot {
  const upMs = uptime() * 1000;
  const first = processRefOf(1);
  if (first === null) return { id: bootId(), at: now - upMs };
  const sinceMachineMs = (Number.parseInt(first.startTicks, 10) / TICKS_PER_SECOND) * 1000;
  // Some containers see an uptime of their own.
  return { id: first.startTicks, at: now - (sinceMachineMs < upMs ? upMs - sinceMachineMs : upMs) };
}
