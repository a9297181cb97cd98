import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { startNeighbour } from "../support/neighbour.ts";
import { startNodeControl } from "../support/node-control.ts";
import { mountSmallDisk } from "../support/small-disk.ts";
import { type Fault, found } from "./fault.ts";
import { openReportingHosts, refusalsIn, runsIn } from "./reporting.ts";

/** The disk of the control plane's database is full again and again while hosts report. */
export const databaseDiskFull: Fault = {
  name: "database-disk-full",
  rounds: 20,
  async start(log) {
    const directory = await mkdtemp(join(tmpdir(), "holdfast-full-"));
    const disk = mountSmallDisk(directory, 65_536);
    const control = await startNodeControl({ HOLDFAST_DATA: directory });
    const neighbour = startNeighbour(join(directory, "control.db"));
    const hosts = await openReportingHosts(control);
    return {
      async round(dice) {
        const times = Array.from({ length: 1 + dice.below(3) }, () => ({
          leave: dice.pick([0, 0, 4_096, 40_000]),
          milliseconds: dice.below(2_000),
        }));
        const played = await hosts.report(dice, async () => {
          for (const { leave, milliseconds } of times) {
            await pause(dice.below(600));
            // The log beside the database keeps what room it once had: without it, nothing is written for minutes that
            // needs more.
            await neighbour.column("PRAGMA wal_checkpoint(TRUNCATE)");
            disk.fill(leave);
            await pause(milliseconds);
            disk.empty();
          }
        });
        log(`full for ${times.map(({ milliseconds }) => milliseconds).join(", ")} ms; ${refusalsIn(played)}`);
        const judged = await hosts.judge(played, () => runsIn(neighbour));
        const [integrity] = await neighbour.column("PRAGMA integrity_check");
        if (integrity === "ok") return judged;
        return found({
          ...judged,
          lied: judged.lied + 1,
          said: [...judged.said, `the database: ${String(integrity)}`],
        });
      },
      async end() {
        await neighbour.end();
        await control.stop();
        await hosts.end();
        disk.unmount();
        await rm(directory, { recursive: true, force: true });
      },
    };
  },
};
