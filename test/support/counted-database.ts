import { createClient } from "@libsql/client/http";
import { drizzle } from "drizzle-orm/libsql/http";
import { onTestFinished } from "vitest";
import * as z from "zod";
import { startSqld } from "./sqld.ts";

/** What a libSQL server counted. Rows read are those of tables and of indexes, as it charges them. */
export interface Counted {
  statements: number;
  rowsRead: number;
  rowsWritten: number;
}

const Result = z.object({ rows_read: z.number(), rows_written: z.number() });
const Answer = z.object({
  results: z.array(
    z.object({
      response: z
        .object({
          result: z.union([Result, z.object({ step_results: z.array(Result.nullable()) }), z.unknown()]).optional(),
        })
        .optional(),
    }),
  ),
});

/** A `fetch` that counts what goes through it. `take` returns what was counted since it was last asked. */
export function counting() {
  const zero = { statements: 0, rowsRead: 0, rowsWritten: 0, calls: 0 };
  let counted = { ...zero };
  return {
    async fetch(request: Request): Promise<Response> {
      counted.calls++;
      const response = await fetch(request);
      for (const { rows_read, rows_written } of resultsOf(await response.clone().json())) {
        counted.statements++;
        counted.rowsRead += rows_read;
        counted.rowsWritten += rows_written;
      }
      return response;
    },
    take(): Counted & { readonly calls: number } {
      const taken = counted;
      counted = { ...zero };
      return taken;
    },
  };
}

/** A database on a libSQL server of its own, gone after the test, and what its statements cost. */
export async function countedDatabase() {
  const server = await startSqld();
  onTestFinished(() => server.stop());
  const { fetch, take } = counting();
  const client = createClient({ url: server.url, fetch });
  onTestFinished(() => client.close());
  /** What this work costs. */
  const costOf = async (work: () => Promise<unknown>): Promise<Counted> => {
    take();
    await work();
    const { calls: _calls, ...cost } = take();
    return cost;
  };
  /** How often this work calls the server. */
  const callsOf = async (work: () => Promise<unknown>): Promise<number> => {
    take();
    await work();
    return take().calls;
  };
  return { db: drizzle(client), costOf, callsOf };
}

function resultsOf(answer: unknown): z.infer<typeof Result>[] {
  return Answer.parse(answer).results.flatMap(({ response }) => {
    const batch = z.object({ step_results: z.array(Result.nullable()) }).safeParse(response?.result);
    if (batch.success) return batch.data.step_results.filter((result) => result !== null);
    const single = Result.safeParse(response?.result);
    return single.success ? [single.data] : [];
  });
}
