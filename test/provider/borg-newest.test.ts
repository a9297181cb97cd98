import { everyVersion, IS_WHOLE } from "../support/engines.ts";
import { backupSuite } from "./backup.suite.ts";
import { repositorySuite } from "./repository.suite.ts";

// And all between the oldest and it, which have no file of their own.
const [, ...newer] = everyVersion("borg");
for (const engine of newer) {
  repositorySuite(engine);
  if (IS_WHOLE) backupSuite(engine, { isNewest: engine === newer.at(-1) });
}
