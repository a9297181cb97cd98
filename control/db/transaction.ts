import { sql, type SQL } from "drizzle-orm";
import type { BatchItem, BatchResponse } from "drizzle-orm/batch";
import type { BaseSQLiteDatabase } from "drizzle-orm/sqlite-core";
import { Failure } from "../../shared/failure.ts";
import { guards } from "./schema/guards.ts";

/**
 * The database as the core sees it: single statements and atomic batches. There are no interactive transactions on
 * purpose: on a libSQL file they block or break all other callers.
 */
export interface Database extends Omit<BaseSQLiteDatabase<"async", { rowsAffected: number }>, "transaction"> {
  batch<U extends BatchItem<"sqlite">, T extends Readonly<[U, ...U[]]>>(batch: T): Promise<BatchResponse<T>>;
}

/** One statement of a batch. */
export type Statement = BatchItem<"sqlite">;

/** Writes statements in one atomic batch. Does nothing for an empty list. */
export async function writeAll(db: Database, statements: readonly Statement[]): Promise<void> {
  const [first, ...rest] = statements;
  if (first !== undefined) await db.batch([first, ...rest]);
}

/** About how many statements one batch holds: a longer one holds up all other writers. */
const PART_SIZE = 150;

/** Writes units of statements, each unit in one atomic batch with as many others as fit. */
export async function writeInParts(db: Database, units: readonly (readonly Statement[])[]): Promise<void> {
  let part: Statement[] = [];
  for (const unit of units) {
    if (part.length + unit.length > PART_SIZE) {
      await writeAll(db, part);
      part = [];
    }
    part.push(...unit);
  }
  await writeAll(db, part);
}

/** A statement that rolls the whole batch back unless the condition holds at this point. */
export function guard(db: Database, condition: SQL): Statement {
  return db.run(sql`insert into ${guards} (holds) select 0 where not coalesce((${condition}), 0)`);
}

const ATTEMPTS = 5;

/**
 * Runs a read-compute-write whose write is guarded. Starts again when a guard fails because of a concurrent write.
 * Throws `request.conflict` after so many attempts.
 */
export async function withRetry<T>(attempt: () => Promise<T>, attempts = ATTEMPTS): Promise<T> {
  for (let left = attempts; ; left--) {
    try {
      return await attempt();
    } catch (error) {
      if (!isGuardError(error)) throw error;
      if (left <= 1) throw new Failure("request.conflict", "the object keeps being changed by others; try again");
    }
  }
}

export function isGuardError(error: unknown): boolean {
  return databaseMessages(error).some((message) => message.includes("CHECK constraint failed: guard_holds"));
}

/** @returns the columns of the violated unique constraint, as `table.column`; empty for any other error */
export function violatedUniqueColumns(error: unknown): string[] {
  for (const message of databaseMessages(error)) {
    const columns = /UNIQUE constraint failed: ([\w., ]+)/.exec(message)?.[1];
    if (columns !== undefined) return columns.split(",").map((column) => column.trim());
  }
  return [];
}

function databaseMessages(error: unknown): string[] {
  const messages: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) messages.push(cause.message);
  return messages;
}
