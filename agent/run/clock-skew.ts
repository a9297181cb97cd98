import { CLOCK_WRONG_MS, formatSkew } from "../../shared/clock-skew.ts";
import type { RunnerDeps } from "./deps.ts";

/**
 * Why nothing may be removed while this host's clock is wrong; null when it agrees with the control plane's, as far as
 * known.
 */
export function clockSkewFault({ clockOffset }: Pick<RunnerDeps, "clockOffset">): string | null {
  const skewMs = -(clockOffset?.() ?? 0);
  if (Math.abs(skewMs) <= CLOCK_WRONG_MS) return null;
  return `this host's clock is ${formatSkew(skewMs)}, by its control plane's: nothing is removed until it is right`;
}
