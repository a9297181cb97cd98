import { createBackoff } from "../../shared/backoff.ts";

/** How long a call waits while others write before it gives up with SQLITE_BUSY. */
export const BUSY_PATIENCE_MS = 10_000;

/**
 * Tries again while somebody else writes: then nothing of the call has happened. Nothing else is tried again.
 * @param deadline as performance.now() has it, which nobody sets
 */
export async function retryWhileBusy<T>(
  call: () => Promise<T>,
  deadline = performance.now() + BUSY_PATIENCE_MS,
): Promise<T> {
  // Each attempt of a Worker is one of the few requests that it may make.
  const jitter = { least: 0.5, most: 1.5 };
  const backoff = createBackoff({ firstMs: 20, longestMs: 500, random: Math.random, jitter });
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const delay = backoff.next();
      if (!isBusy(error) || performance.now() + delay > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  }
}

/** SQLITE_BUSY, or one of its kinds: by the code, or by the text alone when the server gave no code. */
function isBusy(error: unknown): boolean {
  if (!(error instanceof Error && "code" in error)) return false;
  return String(error.code).startsWith("SQLITE_BUSY") || error.message.includes("SQLITE_BUSY");
}

/** Of a batch: one that begins as a reader and writes later is refused at once when others write. */
export function isReadOnly(
  statement: string | readonly [sql: string, ...unknown[]] | { readonly sql: string },
): boolean {
  const sql = typeof statement === "string" ? statement : "sql" in statement ? statement.sql : statement[0];
  return /^\s*select\b/i.test(sql);
}
