import { UsageError } from "../../shared/node/arguments.ts";

/** What a verb knows of whoever typed it. */
export interface Terminal {
  readonly env: Record<string, string | undefined>;
  /** What was asked for: what a pipe gets. */
  out(text: string): void;
  /** What else there is to say. */
  err(text: string): void;
}

/** Ends the program with that status and sentence. */
export class ExitError extends Error {
  override readonly name = "ExitError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** @returns exactly the arguments that were asked for */
export function expectPositionals<const Names extends readonly string[]>(
  given: readonly string[],
  names: Names,
): { [Index in keyof Names]: string } {
  const missing = names[given.length];
  if (missing !== undefined) throw new UsageError(`${missing} is missing`);
  const extra = given[names.length];
  if (extra !== undefined) throw new UsageError(`'${extra}' is one word too many`);
  return names.map((_, index) => given[index] ?? "") as { [Index in keyof Names]: string };
}
