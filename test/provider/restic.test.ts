import { everyVersion } from "../support/engines.ts";
import { backupSuite } from "./backup.suite.ts";
import { repositorySuite } from "./repository.suite.ts";
import { restoreSuite } from "./restore.suite.ts";

for (const engine of everyVersion("restic")) {
  repositorySuite(engine);
  backupSuite(engine);
  restoreSuite(engine);
}
