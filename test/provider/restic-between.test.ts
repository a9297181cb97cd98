import { describe } from "vitest";
import { everyVersion, IS_WHOLE } from "../support/engines.ts";
import { backupSuite } from "./backup.suite.ts";
import { repositorySuite } from "./repository.suite.ts";
import { restoreSuite } from "./restore.suite.ts";

// What the oldest and the newest are asked as well; their restores are in test/engine/restore.test.ts.
describe.runIf(IS_WHOLE)("between the oldest and the newest", () => {
  for (const engine of everyVersion("restic").slice(1, -1)) {
    repositorySuite(engine);
    backupSuite(engine, { isNewest: false });
    restoreSuite(engine);
  }
});
