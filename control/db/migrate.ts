import { sql } from "drizzle-orm";
import { MIGRATIONS, type Migration } from "./migrations.ts";
import { writeAll, type Database, type Statement } from "./transaction.ts";

/**
 * Migrates the database to this version's schema; each migration is one batch. Safe concurrently and over HTTP. Records
 * migrations in drizzle-kit's own table, so that its tools can be used.
 * @returns the tags of the migrations that ran now
 */
export async function migrate(db: Database): Promise<string[]> {
  await db.run(
    sql`create table if not exists __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)`,
  );
  const ran: string[] = [];
  for (const migration of MIGRATIONS) {
    if (await step(db, migration)) ran.push(migration.tag);
  }
  return ran;
}

async function step(db: Database, migration: Migration): Promise<boolean> {
  if (await isDone(db, migration)) return false;
  const statements: Statement[] = migration.statements.map((statement) => db.run(sql.raw(statement)));
  try {
    await writeAll(db, [
      ...statements,
      db.run(sql`insert into __drizzle_migrations (hash, created_at) values (${migration.hash}, ${migration.when})`),
    ]);
    return true;
  } catch (error) {
    // Another process may have run the same migration meanwhile.
    if (await isDone(db, migration)) return false;
    throw error;
  }
}

async function isDone(db: Database, migration: Migration): Promise<boolean> {
  const rows = await db.values(sql`select 1 from __drizzle_migrations where created_at >= ${migration.when} limit 1`);
  return rows.length > 0;
}
