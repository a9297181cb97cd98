import { sql } from "drizzle-orm";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { migrate } from "../../control/db/migrate.ts";
import { MIGRATIONS } from "../../control/db/migrations.ts";
import { tokens } from "../../control/db/schema/service.ts";
import { guard, isGuardError, withRetry, writeAll } from "../../control/db/transaction.ts";
import { DATABASES, emptyDatabase } from "../support/control.ts";

const root = join(import.meta.dirname, "../..");

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "holdfast-database-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

const token = (id: string) => ({
  id,
  name: id,
  scope: "read" as const,
  hash: id,
  createdAt: "2026-11-23T08:00:00.000Z",
});

test("the embedded migrations are the files of drizzle-kit (node .ci/migrations.mjs updates them)", () => {
  const fresh = join(temporaryDirectory(), "migrations.ts");
  execFileSync(process.execPath, [join(root, ".ci/migrations.mjs"), fresh]);
  expect(readFileSync(join(root, "control/db/migrations.ts"), "utf8")).toBe(readFileSync(fresh, "utf8"));
});

test("the schema matches the migrations: drizzle-kit finds nothing to add", () => {
  // It exits with 0 whatever happens, and knows no absolute --out.
  const cwd = temporaryDirectory();
  cpSync(join(root, "control/db/migrations"), join(cwd, "migrations"), { recursive: true });
  const schema = join(root, "control/db/schema");
  const config = JSON.stringify({ dialect: "turso", schema, out: "./migrations" });
  writeFileSync(join(cwd, "drizzle.config.mjs"), `export default ${config};`);
  const kit = join(root, "node_modules/drizzle-kit/bin.cjs");
  const words = ["generate", "--config", "drizzle.config.mjs"];
  const said = execFileSync(process.execPath, [kit, ...words], { cwd, encoding: "utf8", stdio: "pipe" });
  expect(said).toContain("No schema changes");
  expect(readdirSync(join(cwd, "migrations"))).toEqual(readdirSync(join(root, "control/db/migrations")));
});

test("no foreign key deletes anything by itself", () => {
  const made = MIGRATIONS.flatMap(({ statements }) => statements).join("\n");
  expect(made).toMatch(/FOREIGN KEY/);
  expect(made).not.toMatch(/ON DELETE (?!no action)/i);
});

describe.each(DATABASES)("a database of the kind %s", (kind) => {
  test("every migration runs once and atomically, with any number of concurrent callers, and is in drizzle-kit's table", async () => {
    const db = await emptyDatabase(kind);
    const ran = await Promise.all([migrate(db), migrate(db), migrate(db)]);
    expect(ran.flat().toSorted()).toEqual(MIGRATIONS.map(({ tag }) => tag));
    expect(await migrate(db)).toEqual([]);
    const recorded = await db.all(sql`select hash, created_at from __drizzle_migrations order by created_at`);
    expect(recorded).toEqual(MIGRATIONS.map(({ hash, when }) => ({ hash, created_at: when })));
  });

  test("a guard that fails rolls its batch back; one that holds leaves no row", async () => {
    const db = await emptyDatabase(kind);
    await migrate(db);
    const first = sql`exists (select 1 from ${tokens} where ${tokens.id} = ${"first"})`;
    const broken = await writeAll(db, [db.insert(tokens).values(token("second")), guard(db, first)]).catch(
      (error: unknown) => error,
    );
    expect(isGuardError(broken)).toBe(true);
    expect(await db.select({ id: tokens.id }).from(tokens)).toEqual([]);
    await expect(writeAll(db, [guard(db, sql`null`)])).rejects.toSatisfy(isGuardError);
    await writeAll(db, [
      db.insert(tokens).values(token("first")),
      guard(db, first),
      db.insert(tokens).values(token("second")),
    ]);
    expect(await db.select({ id: tokens.id }).from(tokens)).toHaveLength(2);
    expect(await db.all(sql`select * from guards`)).toEqual([]);
  });

  test("a guarded write is tried five times; other errors are not retried", async () => {
    const db = await emptyDatabase(kind);
    await migrate(db);
    let attempts = 0;
    const losing = () => (attempts++, writeAll(db, [guard(db, sql`0`)]));
    await expect(withRetry(losing)).rejects.toMatchObject({ code: "request.conflict" });
    expect(attempts).toBe(5);
    const failing = () => (attempts++, writeAll(db, [db.run(sql`insert into nowhere values (1)`)]));
    await expect(withRetry(failing)).rejects.toThrow();
    expect(attempts).toBe(6);
  });
});
