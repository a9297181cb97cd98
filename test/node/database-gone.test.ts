import { EventEmitter, once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { createApp } from "../../control/app.ts";
import { migrate } from "../../control/db/migrate.ts";
import { createChannel, testChannel } from "../../control/domain/notifications/channels.ts";
import { openDatabase } from "../../control/runtime/node/database.ts";
import { startTimers } from "../../control/runtime/node/timers.ts";
import { CreateChannel } from "../../shared/channel.ts";
import { startSqld } from "../support/sqld.ts";
import { until } from "../support/until.ts";
import { heldDeps } from "./deps.ts";
import { httpReceiver } from "./http-receiver.ts";

test("while the database server is down healthz fails; once it is back, sweep and outbox continue by themselves", async () => {
  const sqld = await startSqld();
  onTestFinished(sqld.stop);
  const db = openDatabase(sqld.url);
  onTestFinished(() => db.$client.close());
  await migrate(db);
  const events = new EventEmitter();
  const log = { info: () => undefined, error: (message: string): void => void events.emit(message) };
  const deps = { ...(await heldDeps()), db, log };
  const app = createApp(deps, { socket: () => new Response(null) });
  const healthz = async (): Promise<unknown> => (await app.request("/healthz")).json();
  const receiver = await httpReceiver();
  const channel = await createChannel(deps, CreateChannel.parse({ name: "ops", kind: "webhook", url: receiver.url }));
  await testChannel(deps, channel.id);
  await sqld.kill();

  const failed = Promise.all([once(events, "the sweep failed"), once(events, "sending notifications failed")]);
  const timers = startTimers(deps, { heartbeat: null, sweepEveryMs: 100 });
  onTestFinished(timers.stop);
  await failed;
  expect(await healthz()).toEqual({ status: "failing", why: "the database does not answer" });
  expect(receiver.requests).toEqual([]);

  await sqld.start();
  await until("the notification of before", () => receiver.requests.length === 1);
  expect(await healthz()).toEqual({ status: "ok" });
});
