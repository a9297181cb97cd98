import { createClient } from "@libsql/client";
import { setTimeout as pause } from "node:timers/promises";
import { startNodeControl } from "../support/node-control.ts";
import { startSqld } from "../support/sqld.ts";
import type { Fault } from "./fault.ts";
import { openReportingHosts, refusalsIn } from "./reporting.ts";

/** The libSQL server is killed while hosts report, stays dead for a while, and comes back. */
export const databaseKilled: Fault = {
  name: "database-killed",
  rounds: 20,
  async start(log) {
    const sqld = await startSqld();
    const control = await startNodeControl({ HOLDFAST_DATABASE_URL: sqld.url });
    const hosts = await openReportingHosts(control);
    return {
      async round(dice) {
        const deaths = Array.from({ length: 1 + dice.below(2) }, () => dice.below(3000));
        const played = await hosts.report(dice, async () => {
          for (const milliseconds of deaths) {
            await pause(dice.below(800));
            await sqld.kill();
            await pause(milliseconds);
            await sqld.start();
          }
        });
        log(`dead for ${deaths.join(", ")} ms; ${refusalsIn(played)}`);
        const rows = async (): Promise<string[]> => {
          const client = createClient({ url: sqld.url });
          const { rows: all } = await client.execute("select id || ' ' || state as said from runs");
          client.close();
          return all.map(({ said }) => String(said));
        };
        return hosts.judge(played, rows);
      },
      async end() {
        await control.stop();
        await hosts.end();
        await sqld.stop();
      },
    };
  },
};
