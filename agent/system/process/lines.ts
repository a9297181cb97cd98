/** The rest of a longer line is dropped, so that no output can fill the memory. */
export const MAX_LINE_BYTES = 1 << 20;
const NEWLINE = 0x0a;

/** Splits a stream of bytes into lines. Bytes that are not UTF-8 become U+FFFD. */
export function lineSplitter(
  onLine: (line: string) => void,
  maxBytes = MAX_LINE_BYTES,
): { push(chunk: Uint8Array): void; end(): void } {
  let parts: Uint8Array[] = [];
  let size = 0;
  const keep = (bytes: Uint8Array): void => {
    const kept = bytes.subarray(0, maxBytes - size);
    if (kept.length === 0) return;
    parts.push(kept);
    size += kept.length;
  };
  const flush = (): void => {
    const line = Buffer.concat(parts).toString("utf8");
    parts = [];
    size = 0;
    onLine(line.endsWith("\r") ? line.slice(0, -1) : line);
  };
  return {
    push(chunk) {
      let from = 0;
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
        keep(chunk.subarray(from, at));
        flush();
        from = at + 1;
      }
      keep(chunk.subarray(from));
    },
    end() {
      if (size > 0) flush();
    },
  };
}

/** No engine's answer is larger: a repository of 10,000 snapshots is listed in a few megabytes. */
export const MAX_OUTPUT_BYTES = 64 << 20;

/** Joins lines to one text. A text longer than the limit is useless: it is dropped. */
export function boundedText(maxCharacters = MAX_OUTPUT_BYTES): { push(line: string): void; text(): string } {
  let text = "";
  let isTooLong = false;
  return {
    push(line) {
      isTooLong ||= text.length + line.length > maxCharacters;
      text = isTooLong ? "" : text + line;
    },
    text: () => text,
  };
}

/** Keeps the last lines, up to `maxBytes` of UTF-8 in total. */
export function lastLines(maxBytes: number): { push(line: string): void; text(): string } {
  const lines: { text: string; bytes: number }[] = [];
  let total = 0;
  return {
    push(line) {
      const text = `${line}\n`;
      const bytes = Buffer.byteLength(text);
      if (bytes > maxBytes) return;
      lines.push({ text, bytes });
      total += bytes;
      while (total > maxBytes) total -= lines.shift()?.bytes ?? total;
    },
    text: () => lines.map(({ text }) => text).join(""),
  };
}
