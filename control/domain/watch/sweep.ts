import type { Deps } from "../../deps.ts";
import { sweepClockSkew } from "./clock-skew.ts";
import { sweepLateBackups } from "../lateness/lateness.ts";
import { extendUptime, GRACE_AFTER_START_MS } from "./uptime.ts";
import { sweepOfflineHosts } from "./offline.ts";
import { sweepStuck } from "./stuck.ts";

/** Opens and closes the incidents of offline hosts, wrong clocks, stuck runs and late backups. */
export async function sweepHealth(deps: Deps): Promise<void> {
  const upSince = await extendUptime(deps);
  await sweepOfflineHosts(deps, upSince);
  await sweepClockSkew(deps);
  await sweepStuck(deps);
  if (deps.clock.now() - upSince >= GRACE_AFTER_START_MS) await sweepLateBackups(deps);
}
