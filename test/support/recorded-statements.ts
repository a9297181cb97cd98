import type { Client, InStatement } from "@libsql/client";

/** Records the statements of this client from now on, to ask for their plans. */
export function recordedStatements(client: Client) {
  const execute = client.execute.bind(client) as (statement: InStatement) => ReturnType<Client["execute"]>;
  const batch = client.batch.bind(client);
  const seen: { sql: string; args: never }[] = [];
  client.execute = (statement: never) => (seen.push(statement), execute(statement));
  client.batch = (statements, mode) => (seen.push(...(statements as never[])), batch(statements, mode));
  return {
    /** The plan of each statement of this work, as SQLite explains it. */
    async plansOf(work: () => Promise<unknown>): Promise<string[][]> {
      seen.length = 0;
      await work();
      const plans = await Promise.all(
        seen.splice(0).map(({ sql, args }) => execute({ sql: `explain query plan ${sql}`, args })),
      );
      return plans.map(({ rows }) => rows.map(({ detail }) => String(detail)));
    },
  };
}
