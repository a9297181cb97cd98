/** The outcome of reading a text. `position` is the 0-based index of the fault in the text; `message` says what to write instead. */
export type Parsed<T> = { ok: true; value: T } | { ok: false; message: string; position: number };

/** Thrown inside a reader, never out of one: see `reading`. */
export class ParseError extends Error {
  readonly position: number;
  constructor(message: string, position: number) {
    super(message);
    this.position = position;
  }
}

/** Runs `read` and turns the fault it throws into a value. */
export function toParsed<T>(read: () => T): Parsed<T> {
  try {
    return { ok: true, value: read() };
  } catch (error) {
    if (error instanceof ParseError) return { ok: false, message: error.message, position: error.position };
    throw error;
  }
}

/** The decimal digits that stand at `at`; possibly none. */
export function digitsAt(text: string, at: number): string {
  let end = at;
  while ((text[end] ?? "") >= "0" && (text[end] ?? "") <= "9") end++;
  return text.slice(at, end);
}
