import { everyVersion } from "../support/engines.ts";
import { backupSuite } from "./backup.suite.ts";
import { repositorySuite } from "./repository.suite.ts";

const versions = everyVersion("borg");
for (const engine of versions) {
  repositorySuite(engine);
  backupSuite(engine, { isNewest: engine === versions.at(-1) });
}
