import { oldestAndNewest } from "../support/engines.ts";
import { backupSuite } from "./backup.suite.ts";
import { repositorySuite } from "./repository.suite.ts";

const [, newest] = oldestAndNewest("restic");
repositorySuite(newest);
backupSuite(newest, { isNewest: true });
