// Embeds what `drizzle-kit generate` wrote into control/db/migrations.ts: Workers have no file system to read it from.
// After a change in control/db/schema/: `npx drizzle-kit generate --name WHAT && node .ci/migrations.mjs [FILE]`.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const database = join(import.meta.dirname, "../control/db");
const file = process.argv[2] ?? join(database, "migrations.ts");

const journal = JSON.parse(readFileSync(join(database, "migrations/meta/_journal.json"), "utf8"));
const migrations = journal.entries.map(({ tag, when }) => {
  const text = readFileSync(join(database, `migrations/${tag}.sql`), "utf8");
  const hash = createHash("sha256").update(text).digest("hex");
  const statements = text.split("--> statement-breakpoint").map((statement) => statement.trim());
  return { tag, when, hash, statements };
});

writeFileSync(
  file,
  `// Written by .ci/migrations.mjs from ./migrations/*.sql: change ./schema/ instead.

export interface Migration {
  readonly tag: string;
  /** Milliseconds since 1970; the order they run in. */
  readonly when: number;
  /** Hex SHA-256 of the file, as drizzle-kit records it. */
  readonly hash: string;
  readonly statements: readonly string[];
}

// oxfmt-ignore
export const MIGRATIONS: readonly Migration[] = ${JSON.stringify(migrations, null, 2)};
`,
);
