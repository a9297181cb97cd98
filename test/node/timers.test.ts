import { expect, onTestFinished, test } from "vitest";
import { createPost } from "../../control/runtime/node/outgoing.ts";
import { startTimers } from "../../control/runtime/node/timers.ts";
import { until } from "../support/until.ts";
import { heldDeps } from "./deps.ts";
import { httpReceiver } from "./http-receiver.ts";

test("the timers sweep, and the dead man's switch is pinged until they no longer can", async () => {
  const deps = await heldDeps();
  const receiver = await httpReceiver();
  const errors: string[] = [];
  deps.log.error = (message) => void errors.push(message);
  const heartbeat = { url: `${receiver.url}/ping/abc`, post: createPost(() => null) };
  const timers = startTimers(deps, { heartbeat, sweepEveryMs: 10 });
  onTestFinished(() => timers.stop());
  await until("the first heartbeat", async () => receiver.requests.length === 1);
  deps.clock.pass(60_000);
  await until("the second heartbeat", async () => receiver.requests.length === 2);
  expect(receiver.requests[1]).toMatchObject({ path: "/hook/ping/abc", body: "" });

  await deps.db.run("drop table orders");
  await until("a sweep that fails", async () => errors.includes("the sweep failed"));
  deps.clock.pass(60_000);
  const before = errors.length;
  await until("two sweeps after that", async () => errors.length > before + 1);
  expect(receiver.requests).toHaveLength(2);
});
