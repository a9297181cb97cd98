/** @param rows cells by column, the first row the headings. @returns columns as wide as they have to be */
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

/** @param at an instant; null: none. @returns it to the minute, in UTC */
export function minute(at: string | null): string {
  return at === null ? "-" : `${at.slice(0, 10)} ${at.slice(11, 16)}Z`;
}

/** Part of it may be a host's own words: nothing in them moves the cursor. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ");
}
