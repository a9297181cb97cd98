import { expect, test } from "vitest";
import { writeAll } from "../../control/db/transaction.ts";
import { noteVital } from "../../control/domain/vitals.ts";
import { enqueue } from "../../control/notify/outbox.ts";
import { sweep, tick } from "../../control/tick.ts";
import { askerOf, DATABASES, testControl, type TestControl } from "../support/control.ts";
import { addChannel, MINUTE } from "./troubled.ts";

/** As a monitor asks, without a credential. */
async function healthz({ app }: TestControl) {
  const { status, body } = await askerOf(app, null).send("GET", "/healthz");
  return { status, body };
}

const WELL = { status: 200, body: { status: "ok" } };
const failing = (why: string) => ({ status: 503, body: { status: "failing", why } });

test.each(DATABASES)(
  "healthz fails when the sweep stalls, not in the first minutes, and is well again (%s)",
  async (database) => {
    const control = await testControl({ database });
    expect(await healthz(control)).toEqual(WELL);
    control.pass(3 * MINUTE);
    expect(await healthz(control)).toEqual(WELL);
    control.pass(1);
    expect(await healthz(control)).toEqual(failing("the sweep has not run to its end since 2026-11-23T08:00:00.000Z"));
    await tick(control.deps);
    expect(await healthz(control)).toEqual(WELL);
    control.pass(4 * MINUTE);
    expect(await healthz(control)).toEqual(failing("the sweep has not run to its end since 2026-11-23T08:03:00.001Z"));
    // Started anew, it has not had the time yet.
    await noteVital(control.deps, "start");
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
  expect(await healthz(control)).toEqual(failing("the outbox is stuck since 2026-11-23T08:00:00.000Z"));
  await noteVital(control.deps, "outbox");
  expect(await healthz(control)).toEqual(WELL);
  await writeAll(control.deps.db, [enqueue(control.deps, { type: "run.failed", data: {} })]);
  control.pass(10 * MINUTE);
  await sweep(control.deps);
  await noteVital(control.deps, "outbox");
  expect(await healthz(control)).toEqual(failing("a notification waits since 2026-11-23T08:11:00.000Z"));
  await control.deps.db.run("update channels set via = 'a host that is off, say'");
  expect(await healthz(control)).toEqual(WELL);
});

test("healthz fails when the database does not answer, and says nothing of why", async () => {
  const control = await testControl();
  const logged: string[] = [];
  control.deps.log.error = (message) => void logged.push(message);
  await control.deps.db.run("drop table vitals");
  expect(await healthz(control)).toEqual(failing("the database does not answer"));
  expect(logged).toEqual(["the vital signs could not be read"]);
});

test("a sweep that fails is not noted as one that ran", async () => {
  const control = await testControl();
  await healthz(control);
  await control.deps.db.run("drop table orders");
  control.pass(4 * MINUTE);
  await expect(tick(control.deps)).rejects.toThrow();
  expect(await healthz(control)).toMatchObject({ status: 503 });
});
