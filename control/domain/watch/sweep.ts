import type { Deps } from "../../deps.ts";
import { sweepLateBackups } from "../lateness/lateness.ts";
import { recordVitals } from "../vitals.ts";
import { sweepClockSkew } from "./clock-skew.ts";
import { sweepOfflineHosts } from "./offline.ts";
import { sweepStuck } from "./stuck.ts";
import { GRACE_AFTER_START_MS, readUptime, upSinceOf, uptimeVitals } from "./uptime.ts";

/** Opens and closes the incidents of offline hosts, wrong clocks, stuck runs and late backups: all steps at once. */
export async function sweepHealth(deps: Deps): Promise<void> {
  const upSince = upSinceOf(deps, await readUptime(deps));
  await recordVitals(deps, uptimeVitals(deps, upSince));
  await sweepOfflineHosts(deps, upSince);
  await sweepClockSkew(deps);
  await sweepStuck(deps);
  if (isLatenessKnown(deps, upSince)) await sweepLateBackups(deps);
}

/** Whether the hosts had time to report what they did while the control plane was down. */
export function isLatenessKnown({ clock }: Pick<Deps, "clock">, upSince: number): boolean {
  return clock.now() - upSince >= GRACE_AFTER_START_MS;
}
