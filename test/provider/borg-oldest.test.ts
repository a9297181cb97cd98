import { everyVersion, IS_WHOLE } from "../support/engines.ts";
import { backupSuite } from "./backup.suite.ts";
import { repositorySuite } from "./repository.suite.ts";

const [oldest] = everyVersion("borg");
repositorySuite(oldest);
// What is the same in every version is played on one.
backupSuite(oldest, { isNewest: !IS_WHOLE });
