import { rename, rm } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { migrate as migrateDatabase } from "../db/migrate.ts";
import { countUnprotected } from "../domain/service/row-protection.ts";
import { readConfig } from "../runtime/node/config.ts";
import { openDatabase } from "../runtime/node/database.ts";
import { defineVerb } from "./verb.ts";

/** For the database of a Workers deployment: a Worker never migrates itself. */
export const migrate = defineVerb({
  name: "migrate",
  usage: "migrate",
  summary: "migrate the database of HOLDFAST_DATABASE_URL to this version's schema, before a Workers deployment",
  options: {},
  positionals: [],
  run: async ({ terminal }) => {
    const config = readConfig(terminal.env);
    const db = openDatabase(config.databaseUrl, config.databaseToken);
    try {
      const ran = await migrateDatabase(db);
      const unprotected = [...(await countUnprotected(db)).values()].reduce((sum, count) => sum + count, 0);
      if (unprotected > 0)
        terminal.err(
          `${unprotected} rows have no MAC and are not used: if this is the upgrade from 0.2, run \`holdfast rows --protect\` with HOLDFAST_SIGNING_KEY set\n`,
        );
      return { text: ran.length === 0 ? "nothing to do\n" : ran.map((tag) => `${tag}\n`).join("") };
    } finally {
      db.$client.close();
    }
  },
});

/** Runs in a process of its own: a second SQLite library in the control plane's process would break its file locks. */
export const copyDatabase = defineVerb({
  name: "copy-database",
  usage: "copy-database FROM TO",
  summary: "make a consistent copy of a control plane's database file, also while it is in use",
  options: {},
  positionals: ["FROM", "TO"],
  run: async ({ positionals: [from, to] }) => {
    const draft = `${to}.new`;
    await rm(draft, { force: true });
    const db = new DatabaseSync(from, { readOnly: true, timeout: 30_000 });
    try {
      db.prepare("VACUUM INTO ?").run(draft);
    } finally {
      db.close();
    }
    await rename(draft, to);
    return {};
  },
});
