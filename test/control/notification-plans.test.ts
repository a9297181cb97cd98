import type { InStatement } from "@libsql/client";
import { expect, test } from "vitest";
import { dispatch } from "../../control/notify/dispatch.ts";
import { claimRelayedDeliveries, recordRelayResults } from "../../control/notify/relay.ts";
import { controlOn, emptyDatabase } from "../support/control.ts";

test("sending reads neither the whole table of deliveries nor a channel's whole history", async () => {
  const db = await emptyDatabase("file");
  const control = await controlOn(db);
  const { id: host } = await control.enrol("nas");
  const channel = { name: "lan", kind: "webhook", url: "http://10.0.0.1/", via: host };
  expect((await control.admin.send("POST", "/api/v1/channels", channel)).status).toBe(201);

  const client = db.$client;
  const execute = client.execute.bind(client) as (statement: InStatement) => ReturnType<typeof client.execute>;
  const batch = client.batch.bind(client);
  const seen: { sql: string; args: unknown }[] = [];
  client.execute = (statement: never) => (seen.push(statement), execute(statement));
  client.batch = (statements, mode) => (seen.push(...(statements as never[])), batch(statements, mode));
  await dispatch(control.deps);
  await claimRelayedDeliveries(control.deps, host);
  await recordRelayResults(control.deps, host, [
    { id: host, lease: host, status: 200, error: null, retryAfterSeconds: 0 },
  ]);
  const ofDeliveries = seen.filter(({ sql }) => sql.includes('"deliveries"'));
  expect(ofDeliveries.length).toBeGreaterThan(6);
  for (const { sql, args } of ofDeliveries) {
    const { rows } = await execute({ sql: `explain query plan ${sql}`, args: args as never });
    const plan = rows.map(({ detail }) => String(detail));
    expect(plan).toContainEqual(expect.stringContaining("deliveries"));
    expect(plan.filter((step) => /^SCAN deliveries|deliveries_channel/.test(step))).toEqual([]);
  }
});
