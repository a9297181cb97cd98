import { IS_WHOLE, oldestAndNewest } from "../support/engines.ts";
import { backupSuite } from "./backup.suite.ts";
import { repositorySuite } from "./repository.suite.ts";

const [oldest] = oldestAndNewest("restic");
repositorySuite(oldest);
if (IS_WHOLE) backupSuite(oldest, { isNewest: false });
