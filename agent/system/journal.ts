import { fstatSync } from "node:fs";

const STDERR = 2;

/** Whether this process's standard error is a stream of the journal, and not only its parent's was: systemd.exec(5). */
export function writesToJournal(env: Readonly<Record<string, string | undefined>>): boolean {
  const { dev, ino } = fstatSync(STDERR);
  return env["JOURNAL_STREAM"] === `${dev}:${ino}`;
}
