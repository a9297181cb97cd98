import { rename, rm } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import { migrate as migrateDatabase } from "../db/migrate.ts";
import { readConfig } from "../runtime/node/config.ts";
import { openDatabase } from "../runtime/node/database.ts";
import { EXIT, expectPositionals, type Verb } from "./terminal.ts";

/** For a database that a Workers deployment uses: a Worker never changes the schema itself. */
export const migrate: Verb = {
  usage: "migrate",
  summary: "bring the database of HOLDFAST_DATABASE_URL to this version's schema, before a Workers deployment",
  run: async (args, terminal) => {
    expectPositionals(parseArgs({ args, allowPositionals: true, options: {} }).positionals, []);
    const config = readConfig(terminal.env);
    const db = openDatabase(config.databaseUrl, config.databaseToken);
    try {
      const ran = await migrateDatabase(db);
      terminal.out(ran.length === 0 ? "nothing to do\n" : ran.map((tag) => `${tag}\n`).join(""));
      return EXIT.done;
    } finally {
      db.$client.close();
    }
  },
};

/** A process of its own on purpose: another SQLite in the control plane's process would break its file locks. */
export const copyDatabase: Verb = {
  usage: "copy-database FROM TO",
  summary: "make a consistent copy of a control plane's database file, also while it is in use",
  run: async (args) => {
    const { positionals } = parseArgs({ args, allowPositionals: true, options: {} });
    const [from, to] = expectPositionals(positionals, ["FROM", "TO"]);
    const draft = `${to}.new`;
    await rm(draft, { force: true });
    const db = new DatabaseSync(from, { readOnly: true, timeout: 30_000 });
    try {
      db.prepare("VACUUM INTO ?").run(draft);
    } finally {
      db.close();
    }
    await rename(draft, to);
    return EXIT.done;
  },
};
