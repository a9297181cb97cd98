import { createBackoff } from "../../shared/backoff.ts";

/** How long a call waits for other writers before it fails with SQLITE_BUSY. */
export const BUSY_PATIENCE_MS = 10_000;

/**
 * Retries a call while another writer holds the database: then the call had no effect. Other errors are not retried.
 * @param deadline by performance.now(), so that clock changes do not matter
 */
export async function retryWhileBusy<T>(
  call: () => Promise<T>,
  deadline = performance.now() + BUSY_PATIENCE_MS,
): Promise<T> {
  // On Workers every attempt counts against the limit of subrequests.
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

/** Whether the error is SQLITE_BUSY or an extended code of it; by the text when the server gave no code. */
function isBusy(error: unknown): boolean {
  if (!(error instanceof Error && "code" in error)) return false;
  return String(error.code).startsWith("SQLITE_BUSY") || error.message.includes("SQLITE_BUSY");
}

/**
 * Whether a statement of a batch only reads. A batch that starts as a reader and writes later fails when others write.
 */
export function isReadOnly(
  statement: string | readonly [sql: string, ...unknown[]] | { readonly sql: string },
): boolean {
  const sql = typeof statement === "string" ? statement : "sql" in statement ? statement.sql : statement[0];
  return /^\s*select\b/i.test(sql);
}
