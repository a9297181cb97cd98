import { everyVersion } from "../support/engines.ts";
import { backupSuite } from "./backup.suite.ts";
import { repositorySuite } from "./repository.suite.ts";
import { restoreSuite } from "./restore.suite.ts";

// What the oldest and the newest are asked as well; their restores are in test/engine/restore.test.ts.
for (const engine of everyVersion("restic").slice(1, -1)) {
  repositorySuite(engine);
  backupSuite(engine, { isNewest: false });
  restoreSuite(engine);
}
