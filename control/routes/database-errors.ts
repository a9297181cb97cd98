/** What SQLite, or the way to its server, calls it, and what that means to who asked. */
const PROBLEMS: readonly (readonly [RegExp, string])[] = [
  [
    /^SQLITE_(BUSY|LOCKED)/,
    "the database is locked by another program, for longer than we wait: nothing was changed; end what holds it and try again",
  ],
  [
    /^SQLITE_(READONLY|CANTOPEN|PERM|AUTH)/,
    "the database can't be written, since its file, directory or file system is read-only: nothing was changed; make it writable and try again",
  ],
  [/^SQLITE_FULL/, "the disk of the database is full: nothing was changed; free some space and try again"],
  [/^SQLITE_IOERR/, "the disk of the database fails: nothing can be promised of this request; look at the disk"],
  [
    /^SQLITE_(CORRUPT|NOTADB)/,
    "the database is damaged: nothing can be promised of this request; restore it from its own backup",
  ],
  [
    /^(SERVER_ERROR|HRANA_\w+|ECONN\w+|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_\w+)$/,
    "the database server does not answer: whether this was done is not known; try again",
  ],
];

/** @returns what is wrong with the database, when that is why a request failed; null: it is something else */
export function databaseProblem(error: unknown): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = "code" in cause ? String(cause.code) : "";
    const known = PROBLEMS.find(([pattern]) => pattern.test(code));
    if (known !== undefined) return known[1];
  }
  return null;
}
