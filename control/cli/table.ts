/** Formats a table. @param rows the first one is the heading */
export function table(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

/** Formats an instant to the minute, in UTC. @param at null: shown as `-` */
export function minute(at: string | null): string {
  return at === null ? "-" : `${at.slice(0, 10)} ${at.slice(11, 16)}Z`;
}

/** Replaces control characters, because the text may come from a host. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ");
}
