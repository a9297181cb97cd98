import { EXIT } from "../../shared/node/arguments.ts";
import { copySqlite } from "../consistency/sqlite-copy.ts";
import type { Verb } from "./verb.ts";

/** Internal: a backup starts it as the user who may read the database. */
export const copySqliteVerb: Verb = {
  name: "copy-sqlite",
  takes: { names: ["SOURCE", "COPY"] },
  async run(_deps, given) {
    await copySqlite(given.name(0), given.name(1));
    return EXIT.done;
  },
};
