import { index, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Recipients of recovery kits; the one that was set last is in use. */
export const recoveryRecipients = sqliteTable("recovery_recipients", {
  recipient: text().primaryKey(),
  setAt: text().notNull(),
  /** When its kit was last printed with everything that was there. */
  printedAt: text(),
});

/**
 * What opens a repository, as one of its hosts sealed it. Stays when the repository is deleted here: what is stored in
 * it stays too.
 */
export const escrows = sqliteTable(
  "escrows",
  {
    repository: text().notNull(),
    host: text().notNull(),
    recipient: text().notNull(),
    sealed: text().notNull(),
    digest: text().notNull(),
    changedAt: text().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.repository, table.host] }),
    index("escrows_recipient").on(table.recipient, table.changedAt),
  ],
);
