/**
 * The result of parsing a text. `position`: 0-based index of the error in the text. `message`: what to write instead.
 */
export type Parsed<T> = { ok: true; value: T } | { ok: false; message: string; position: number };

/** Thrown inside a parser, never out of one: see `toParsed`. */
export class ParseError extends Error {
  readonly position: number;
  constructor(message: string, position: number) {
    super(message);
    this.position = position;
  }
}

/** Runs `read` and turns the error it throws into a value. */
export function toParsed<T>(read: () => T): Parsed<T> {
  try {
    return { ok: true, value: read() };
  } catch (error) {
    if (error instanceof ParseError) return { ok: false, message: error.message, position: error.position };
    throw error;
  }
}

/** The decimal digits at position `at`; possibly none. */
export function digitsAt(text: string, at: number): string {
  let end = at;
  while ((text[end] ?? "") >= "0" && (text[end] ?? "") <= "9") end++;
  return text.slice(at, end);
}
