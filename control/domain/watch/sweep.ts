import type { Deps } from "../../deps.ts";
import { sweepClocks } from "./clock-skew.ts";
import { sweepLate } from "../lateness/lateness.ts";
import { keepListening, SETTLE_MS } from "./uptime.ts";
import { sweepPresence } from "./offline.ts";
import { sweepStuck } from "./stuck.ts";

/** Looks for what did not happen, and tells of it: hosts that are not heard of or whose clocks are wrong, backups
 * that did not come. */
export async function watch(deps: Deps): Promise<void> {
  const listeningSince = await keepListening(deps);
  await sweepPresence(deps, listeningSince);
  await sweepClocks(deps);
  await sweepStuck(deps);
  if (deps.clock.now() - listeningSince >= SETTLE_MS) await sweepLate(deps);
}
