import { everyVersion } from "../support/engines.ts";
import { backupSuite } from "./backup.suite.ts";
import { repositorySuite } from "./repository.suite.ts";

const [oldest] = everyVersion("borg");
repositorySuite(oldest);
backupSuite(oldest, { isNewest: false });
