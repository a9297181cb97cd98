import { expect, test } from "vitest";
import { writeAll } from "../../control/db/transaction.ts";
import { recordVital } from "../../control/domain/service/vitals.ts";
import type { Post } from "../../control/deps.ts";
import { sendHeartbeat } from "../../control/heartbeat.ts";
import { enqueue } from "../../control/notify/outbox.ts";
import { sweep, tick } from "../../control/tick.ts";
import { askerOf, DATABASES, testControl, type TestControl } from "../support/control.ts";
import { addChannel, DAY, deliveriesOf, fail, MINUTE } from "./incident-steps.ts";

/** As a monitor asks, without a credential. */
async function healthz({ app }: TestControl) {
  const { status, body } = await askerOf(app, null).send("GET", "/healthz");
  return { status, body };
}

const WELL = { status: 200, body: { status: "ok" } };
const failing = (why: string) => ({ status: 503, body: { status: "failing", why } });

test.each(DATABASES)(
  "healthz fails when the sweep stalls, not in the first minutes, and recovers (%s)",
  async (database) => {
    const control = await testControl({ database });
    expect(await healthz(control)).toEqual(WELL);
    control.pass(3 * MINUTE);
    expect(await healthz(control)).toEqual(WELL);
    control.pass(1);
    expect(await healthz(control)).toEqual(failing("the last complete sweep was at 2026-11-23T08:00:00.000Z"));
    await tick(control.deps);
    expect(await healthz(control)).toEqual(WELL);
    control.pass(4 * MINUTE);
    expect(await healthz(control)).toEqual(failing("the last complete sweep was at 2026-11-23T08:03:00.001Z"));
    // Started anew, it has not had the time yet.
    await recordVital(control.deps, "start");
    expect(await healthz(control)).toEqual(WELL);
  },
);

test("healthz fails when the outbox stalls, or when a notification waits for too long", async () => {
  const control = await testControl();
  await healthz(control);
  await addChannel(control, "ops");
  for (let minute = 0; minute <= 10; minute++) {
    await sweep(control.deps);
    expect(await healthz(control)).toEqual(WELL);
    control.pass(MINUTE);
  }
  await sweep(control.deps);
  expect(await healthz(control)).toEqual(failing("the outbox has been stuck since 2026-11-23T08:00:00.000Z"));
  await recordVital(control.deps, "outbox");
  expect(await healthz(control)).toEqual(WELL);
  await writeAll(control.deps.db, [enqueue(control.deps, { type: "run.failed", data: {} })]);
  control.pass(10 * MINUTE);
  await sweep(control.deps);
  await recordVital(control.deps, "outbox");
  expect(await healthz(control)).toEqual(failing("a notification has been waiting since 2026-11-23T08:11:00.000Z"));
  await control.deps.db.run("update channels set via = 'a host that is off, say'");
  expect(await healthz(control)).toEqual(WELL);
});

test("healthz fails when the database does not answer, without details", async () => {
  const control = await testControl();
  const logged: string[] = [];
  control.deps.log.error = (message) => void logged.push(message);
  await control.deps.db.run("drop table vitals");
  expect(await healthz(control)).toEqual(failing("the database does not answer"));
  expect(logged).toEqual(["the health checks could not be read"]);
});

test("a failing step of the sweep blocks neither the others nor the outbox, and the sweep is not recorded", async () => {
  const control = await testControl();
  await healthz(control);
  await addChannel(control, "ops");
  await fail(control, { kind: "host.trouble", host: null, detail: "any" });
  const sent: string[] = [];
  const deps = { ...control.deps, post: async ({ url }: { url: string }) => ({ status: sent.push(url) && 204 }) };
  await control.deps.db.run("drop table enrollments");
  control.pass(2 * DAY);
  await expect(tick(deps)).rejects.toThrow("enrollments");
  expect(await healthz(control)).toMatchObject({ status: 503 });
  expect(sent).toHaveLength(1);
  expect((await deliveriesOf(control)).map(({ type, state }) => `${type} ${state}`)).toEqual(["run.failed delivered"]);
});

/** What a dead man's switch hears, and a heart that beats for it. */
function beating(control: TestControl) {
  const heard: string[] = [];
  const logged: string[] = [];
  const deps = { ...control.deps, log: { ...control.deps.log, error: (text: string) => void logged.push(text) } };
  let answer = async (): Promise<{ status: number }> => ({ status: 200 });
  const post: Post = async ({ method, url }) => {
    heard.push(`${method} ${url}`);
    return answer();
  };
  return {
    heard,
    logged,
    becomes: (next: () => Promise<{ status: number }>) => void (answer = next),
    beat: () => sendHeartbeat(deps, { url: "https://hc.example/secret", post }),
  };
}

test("a heartbeat is sent after a complete sweep, at most once a minute, with any number of sweeps", async () => {
  const control = await testControl();
  const { heard, beat: sent } = beating(control);
  for (let half = 0; half < 6; half++) {
    await tick(control.deps);
    await Promise.all([sent(), sent(), sent()]);
    control.pass(MINUTE / 2);
  }
  expect(heard).toEqual(Array.from({ length: 3 }, () => "GET https://hc.example/secret"));
  await sendHeartbeat(control.deps, null);
});

test("nothing is sent to the dead man's switch while the sweep or the outbox stalls", async () => {
  const control = await testControl();
  const { heard, logged, beat: sent } = beating(control);
  await healthz(control);
  await tick(control.deps);
  control.pass(4 * MINUTE);
  await sent();
  for (let minute = 0; minute < 12; minute++) {
    await sweep(control.deps);
    control.pass(MINUTE);
  }
  await sweep(control.deps);
  await sent();
  expect(heard).toEqual([]);
  expect(new Set(logged)).toEqual(new Set(["no heartbeat is sent"]));
  await tick(control.deps);
  await sent();
  expect(heard).toHaveLength(1);
});

test("a heartbeat that fails is logged without its URL, and the next one is sent anyway", async () => {
  const control = await testControl();
  const { heard, logged, becomes, beat: sent } = beating(control);
  becomes(async () => Promise.reject(new Error("connect ECONNREFUSED")));
  await sent();
  control.pass(MINUTE);
  becomes(async () => ({ status: 404 }));
  await sent();
  control.pass(MINUTE);
  await sent();
  expect(heard).toHaveLength(3);
  expect(logged).toEqual([
    "the heartbeat could not be sent",
    "the heartbeat URL answered with an error",
    "the heartbeat URL answered with an error",
  ]);
});
