import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { RunKind } from "../../shared/run.ts";
import { controlOn, emptyDatabase } from "../support/control.ts";
import { seedFleet } from "../support/fleet.ts";
import { recordedStatements } from "../support/recorded-statements.ts";

const NOW = "2026-11-23T08:00:00.000Z";

test("a page of a list of runs or bindings is found by index, whatever it is filtered by, analyzed or not", async () => {
  const db = await emptyDatabase("file");
  const control = await controlOn(db, { now: NOW });
  const [binding] = await seedFleet(db, { hosts: 30, bindingsOfHost: 5, runsOfBinding: 100 }, Date.parse(NOW));
  const [row] = await db.all<{ repository: string }>(sql`select repository from bindings limit 1`);
  const { plansOf } = recordedStatements(db.$client);
  const ofRuns = [
    "state=failed",
    "state=running",
    "kind=prune",
    `host=${binding?.host.id}`,
    `host=${binding?.host.id}&state=failed`,
    ...["", ...RunKind.options.map((kind) => `&kind=${kind}`)].flatMap((kind) => [
      `binding=${binding?.id}${kind}`,
      `repository=${row?.repository}${kind}`,
    ]),
  ].map((filter) => `/api/v1/runs?limit=500&${filter}`);
  for (const isAnalyzed of [false, true]) {
    if (isAnalyzed) await db.run(sql`analyze`);
    for (const path of [...ofRuns, "/api/v1/bindings?limit=500"]) {
      let status = 0;
      const plans = await plansOf(async () => void ({ status } = await control.admin.send("GET", path)));
      const steps = plans.flat();
      expect({ path, status }).toEqual({ path, status: 200 });
      expect({
        path,
        steps: steps.filter((step) => /^SCAN (runs|incidents|deliveries|newest_runs)/.test(step)),
      }).toEqual({
        path,
        steps: [],
      });
      if (path.startsWith("/api/v1/bindings")) {
        expect(steps).toContain("SCAN bindings USING INDEX sqlite_autoindex_bindings_1");
        continue;
      }
      // The order is the index's: nothing but a page is read.
      expect({ path, sorted: steps.filter((step) => step.includes("TEMP B-TREE")) }).toEqual({ path, sorted: [] });
    }
  }
});
