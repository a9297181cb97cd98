import {
  type Client,
  type InArgs,
  type InStatement,
  LibsqlError,
  type ResultSet,
  type Row,
  type Value,
} from "@libsql/client";
import Sqlite from "libsql";

/** More than the control plane has, unless lists of every length are among them. */
const MOST_STATEMENTS = 500;

type Sql = InStatement | [sql: string, args?: InArgs];

interface Prepared {
  readonly statement: Sqlite.Statement<unknown[]>;
  /** Null: it returns no rows. */
  readonly columns: readonly Column[] | null;
}

interface Column {
  readonly name: string;
  readonly type: string | null;
}

/**
 * One connection to a database file, for one caller at a time. Unlike that of `@libsql/client` it prepares a statement
 * once: that is a third of what a report takes. Calls are synchronous inside; errors are `LibsqlError`.
 */
export function connectFile(path: string): Client {
  let connection: Sqlite.Database | null = null;
  let prepared = new Map<string, Prepared>();
  let isClosed = false;

  const open = (): Sqlite.Database => {
    if (isClosed) throw new LibsqlError("The client is closed", "CLIENT_CLOSED");
    return (connection ??= new Sqlite(path));
  };
  const disconnect = (): void => {
    prepared = new Map();
    connection?.close();
    connection = null;
  };
  const prepare = (sql: string): Prepared => {
    const known = prepared.get(sql);
    if (known !== undefined) return known;
    const statement = open().prepare(sql).safeIntegers(true);
    const columns = returnsRows(statement) ? statement.columns().map(({ name, type }) => ({ name, type })) : null;
    // The oldest goes: what is used all the time is prepared again at once.
    const oldest = prepared.size < MOST_STATEMENTS ? undefined : prepared.keys().next().value;
    if (oldest !== undefined) prepared.delete(oldest);
    prepared.set(sql, { statement, columns });
    return { statement, columns };
  };
  const run = (input: Sql): ResultSet => {
    const [sql, args = []] = typeof input === "string" ? [input] : "sql" in input ? [input.sql, input.args] : input;
    if (!Array.isArray(args)) throw new TypeError("named arguments are not used here");
    try {
      const { statement, columns } = prepare(sql);
      const values = args.map(toSql);
      if (columns === null) {
        const { changes, lastInsertRowid } = statement.run(values);
        return resultOf([], [], { rowsAffected: changes, lastInsertRowid: BigInt(lastInsertRowid) });
      }
      const rows = statement.all(values) as unknown[][];
      return resultOf(
        columns,
        rows.map((row) => rowOf(row, columns)),
        { rowsAffected: 0, lastInsertRowid: undefined },
      );
    } catch (error) {
      prepared.delete(sql);
      throw toLibsqlError(error);
    }
  };
  return {
    execute: async (statement: InStatement, args?: InArgs) =>
      run(typeof statement === "string" ? [statement, args ?? []] : statement),
    batch: async (statements, mode = "deferred") => {
      run(mode === "write" ? "BEGIN IMMEDIATE" : "BEGIN DEFERRED");
      const database = open();
      try {
        const results = statements.map((statement) => run(statement));
        run("COMMIT");
        return results;
      } finally {
        if (database.open && database.inTransaction) database.exec("ROLLBACK");
      }
    },
    executeMultiple: async (sql) => void open().exec(sql),
    migrate: refuse,
    sync: refuse,
    transaction: refuse,
    protocol: "file",
    reconnect: disconnect,
    close: () => {
      isClosed = true;
      disconnect();
    },
    get closed() {
      return isClosed;
    },
  };
}

const refuse = (): Promise<never> => Promise.reject(new Error("only execute() and batch() are for a file"));

/** It has no other way to say so. */
function returnsRows(statement: Sqlite.Statement<unknown[]>): boolean {
  try {
    statement.raw(true);
    return true;
  } catch {
    return false;
  }
}

function toSql(value: unknown): unknown {
  if (value === undefined) throw new TypeError("undefined can't be an argument of a statement");
  if (typeof value === "boolean") return value ? 1 : 0;
  return value;
}

/** Its values by number, and by name: the first of a name. */
function rowOf(values: readonly unknown[], columns: readonly Column[]): Row {
  const row: Record<string, unknown> = {};
  Object.defineProperty(row, "length", { value: values.length });
  for (const [index, { name }] of columns.entries()) {
    const value = fromSql(values[index]);
    Object.defineProperty(row, index, { value });
    if (!Object.hasOwn(row, name)) row[name] = value;
  }
  return row as Row;
}

function fromSql(value: unknown): Value {
  if (typeof value !== "bigint") return value as Value;
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError(`${value} is no safe integer`);
  return number;
}

function resultOf(
  columns: readonly Column[],
  rows: Row[],
  written: Pick<ResultSet, "rowsAffected" | "lastInsertRowid">,
): ResultSet {
  const result = {
    columns: columns.map(({ name }) => name),
    columnTypes: columns.map(({ type }) => type ?? ""),
    rows,
    ...written,
  };
  return { ...result, toJSON: () => result };
}

/** SQLite's primary result codes, by number from 1 (https://sqlite.org/rescode.html). */
const CODES =
  "ERROR INTERNAL PERM ABORT BUSY LOCKED NOMEM READONLY INTERRUPT IOERR CORRUPT NOTFOUND FULL CANTOPEN PROTOCOL EMPTY SCHEMA TOOBIG CONSTRAINT MISMATCH MISUSE NOLFS AUTH FORMAT RANGE NOTADB".split(
    " ",
  );

/** With the primary code as `code`, as `@libsql/client` has it; the driver's is the extended one. */
function toLibsqlError(error: unknown): unknown {
  if (!(error instanceof Sqlite.SqliteError)) return error;
  const { message, code, rawCode } = error;
  const primary = (rawCode ?? 0) & 0xff;
  return new LibsqlError(message, `SQLITE_${CODES[primary - 1] ?? `UNKNOWN_${primary}`}`, code, rawCode, error);
}
