import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { openClient } from "../support/client.ts";
import { startNeighbour } from "../support/neighbour.ts";
import { startNodeControl } from "../support/node-control.ts";
import type { Fault } from "./fault.ts";
import { judge, openReportingHosts } from "./reporting.ts";
import { listenForWebhooks } from "./webhooks.ts";

const HOSTS = 8;
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
    const webhooks = await listenForWebhooks();
    const admin = openClient(control.url, () => control.adminToken);
    await admin.send("POST", "/api/v1/channels", { name: "ops", kind: "webhook", url: webhooks.url });
    const hosts = await openReportingHosts(control, HOSTS);
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
        log(
          `held for ${holds.join(", ")} ms; ${[...played.refusals].map(([said, times]) => `${times} × ${said}`).join(", ")}`,
        );
        const rows = async (): Promise<string[]> =>
          (await neighbour.column("SELECT id || ' ' || state FROM runs")).map(String);
        return judge(played, rows, webhooks);
      },
      async end() {
        await neighbour.end();
        await control.stop();
        await webhooks.end();
        await rm(directory, { recursive: true, force: true });
      },
    };
  },
};
