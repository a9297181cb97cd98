import { everyVersion } from "../support/engines.ts";
import { backupSuite } from "./backup.suite.ts";
import { repositorySuite } from "./repository.suite.ts";
import { restoreSuite } from "./restore.suite.ts";

const versions = everyVersion("restic");
for (const engine of versions) {
  repositorySuite(engine);
  backupSuite(engine, { isNewest: engine === versions.at(-1) });
}
for (const engine of versions.slice(1, -1)) restoreSuite(engine);
