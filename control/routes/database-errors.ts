/** Error codes of SQLite or of the connection to its server, and the message for the client. */
const PROBLEMS: readonly (readonly [RegExp, string])[] = [
  [
    /^SQLITE_(BUSY|LOCKED)/,
    "the database is locked by another program: nothing was changed; stop that program and try again",
  ],
  [
    /^SQLITE_(READONLY|CANTOPEN|PERM|AUTH)/,
    "the database can't be written, since its file, directory or file system is read-only: nothing was changed; make it writable and try again",
  ],
  [/^SQLITE_FULL/, "the disk of the database is full: nothing was changed; free some space and try again"],
  [/^SQLITE_IOERR/, "the database's disk has I/O errors: the result of this request is unknown; check the disk"],
  [
    /^SQLITE_(CORRUPT|NOTADB)/,
    "the database is damaged: the result of this request is unknown; restore it from its own backup",
  ],
  [
    /^(SERVER_ERROR|HRANA_\w+|ECONN\w+|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_\w+)$/,
    "the database server does not answer: the result of this request is unknown; try again",
  ],
];

/** @returns the message for a request that failed because of the database; null for any other error */
export function databaseProblem(error: unknown): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = "code" in cause ? String(cause.code) : "";
    const known = PROBLEMS.find(([pattern]) => pattern.test(code));
    if (known !== undefined) return known[1];
  }
  return null;
}
