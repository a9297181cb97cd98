import { UsageError } from "../../shared/node/arguments.ts";

/** The environment and output of a verb. */
export interface Terminal {
  readonly env: Record<string, string | undefined>;
  /** Writes to stdout: the result. */
  out(text: string): void;
  /** Writes to stderr: everything else. */
  err(text: string): void;
}

/** Ends the program with this exit status and message. */
export class ExitError extends Error {
  override readonly name = "ExitError";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Checks the number of positional arguments. @param names of the required ones. @returns them */
export function expectPositionals<const Names extends readonly string[]>(
  given: readonly string[],
  names: Names,
): { [Index in keyof Names]: string } {
  const missing = names[given.length];
  if (missing !== undefined) throw new UsageError(`${missing} is missing`);
  const extra = given[names.length];
  if (extra !== undefined) throw new UsageError(`unexpected argument '${extra}'`);
  return names.map((_, index) => given[index] ?? "") as { [Index in keyof Names]: string };
}
