import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { startNeighbour } from "../support/neighbour.ts";
import { startNodeControl } from "../support/node-control.ts";
import type { Fault } from "./fault.ts";
import { openReportingHosts, refusalsIn, runsIn } from "./reporting.ts";

/** The control plane waits ten seconds for somebody else's lock. */
const PATIENCE_MS = 10_000;

/** Another program holds the control plane's database, again and again, sometimes for longer than anybody waits. */
export const databaseLocked: Fault = {
  name: "database-locked",
  rounds: 20,
  async start(log) {
    const directory = await mkdtemp(join(tmpdir(), "holdfast-locked-"));
    const control = await startNodeControl({ HOLDFAST_DATA: directory });
    const neighbour = startNeighbour(join(directory, "control.db"));
    const hosts = await openReportingHosts(control);
    return {
      async round(dice) {
        const isLong = dice.isLucky(0.3);
        const holds = isLong ? [PATIENCE_MS + dice.below(3000)] : [dice.below(2000), dice.below(500), dice.below(2000)];
        const played = await hosts.report(dice, async () => {
          for (const milliseconds of holds) {
            await pause(dice.below(300));
            await neighbour.lock();
            await pause(milliseconds);
            await neighbour.unlock();
          }
        });
        log(`held for ${holds.join(", ")} ms; ${refusalsIn(played)}`);
        return hosts.judge(played, () => runsIn(neighbour));
      },
      async end() {
        await neighbour.end();
        await control.stop();
        await hosts.end();
        await rm(directory, { recursive: true, force: true });
      },
    };
  },
};
