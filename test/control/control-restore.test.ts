import { expect, test } from "vitest";
import { page } from "../../shared/api.ts";
import { Contract } from "../../shared/contract.ts";
import { Delivery } from "../../shared/event.ts";
import { EnrollmentCreated, Host } from "../../shared/host.ts";
import { Run } from "../../shared/run.ts";
import { sweep } from "../../control/tick.ts";
import { adaptRestoredDatabase } from "../../control/domain/service/control-restore.ts";
import { FACTS, newHostKey, testControl } from "../support/control.ts";
import { declare } from "./declared.ts";
import { send } from "./subscribed-host.ts";
import { ordersOf } from "./ordered.ts";
import { reportOf, runIdAt } from "./reported.ts";

const DAY = 86_400_000;

/** A control plane that was copied at eight in the middle of its own backup, and came back three days later. */
async function threeDaysLater() {
  const control = await testControl();
  const [self, one] = [await control.enrol("self"), await control.enrol("one")];
  const { binding: own, contract, repository } = await declare(control, self, "control-plane");
  const { binding } = await declare(control, one, "photos");
  const good = reportOf({ id: runIdAt("2026-11-23T00:05:00.000Z"), binding: binding.id, state: "succeeded" });
  await send(one, good);
  const running = reportOf({ id: runIdAt("2026-11-23T07:59:00.000Z"), binding: own.id, state: "running" });
  await send(self, running);
  const begun = reportOf({ id: runIdAt("2026-11-23T07:58:00.000Z"), binding: binding.id, state: "running" });
  await send(one, begun);
  const queued = await control.admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
  const { token } = await control.admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "new", uses: 3 });
  await control.admin.send("POST", "/api/v1/channels", { name: "ops", kind: "webhook", url: "http://ops.test/hook" });
  await control.admin.send("POST", `/api/v1/bindings/${binding.id}/pause`);
  await control.admin.send("POST", `/api/v1/bindings/${binding.id}/resume`);
  control.pass(3 * DAY);
  const settled = await adaptRestoredDatabase(control.deps, {
    host: self.id,
    binding: own.id,
    snapshot: "a".repeat(64),
    takenAt: "2026-11-23T08:00:05.000Z",
    moved: { repository: repository.id, location: "/mnt/new/control" },
    staging: { directory: "/srv/data/backup", user: "backup" },
  });
  return { control, self, one, binding, own, contract, repository, running, begun, queued, token, settled };
}

test("nothing is done twice: orders end, enrolment tokens are used up, revisions are newer than any host's", async () => {
  const { control, one, queued, token, settled } = await threeDaysLater();
  expect(settled).toEqual({ hosts: 2 });
  expect(await ordersOf(one)).toEqual([]);
  expect(await control.admin.ask(Run, "GET", `/api/v1/runs/${queued.id}`)).toMatchObject({ state: "cancelled" });
  const { publicKey } = await newHostKey();
  const answer = await control.app.request("/agent/v1/enroll", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token, publicKey, facts: FACTS }),
  });
  expect(await answer.json()).toMatchObject({ error: { code: "enrollments.token_refused" } });
  for (const { revision } of (await control.admin.ask(page(Host), "GET", "/api/v1/hosts")).items)
    expect(revision).toBeGreaterThanOrEqual(control.deps.clock.now() / 1000);
});

test("unfinished runs become interrupted, except the backup it was restored from; a late report overrides that", async () => {
  const { control, one, running, begun } = await threeDaysLater();
  expect(await control.admin.ask(Run, "GET", `/api/v1/runs/${running.run.id}`)).toMatchObject({
    state: "warned",
    snapshot: "a".repeat(64),
    finishedAt: "2026-11-23T08:00:05.000Z",
    warnings: [expect.stringContaining("restored")],
  });
  const unknown = await control.admin.ask(Run, "GET", `/api/v1/runs/${begun.run.id}`);
  expect(unknown).toMatchObject({ state: "interrupted", failure: { code: "run.interrupted" } });
  expect(unknown.failure?.message).toContain("2026-11-23T08:00:05.000Z");
  await send(one, {
    ...begun,
    sequence: 2,
    run: { ...begun.run, state: "succeeded", finishedAt: "2026-11-23T08:09:00.000Z" },
  });
  expect(await control.admin.ask(Run, "GET", `/api/v1/runs/${begun.run.id}`)).toMatchObject({ state: "succeeded" });
});

test("backups missing in the lost time are not late, the next missing one is", async () => {
  const { control, one } = await threeDaysLater();
  const notifiedTypes = async () =>
    (await control.admin.ask(page(Delivery), "GET", "/api/v1/deliveries")).items.map(({ type }) => type);
  const look = async (hours: number) => {
    control.pass(hours * 3_600_000);
    for (let passed = 0; passed < 14; passed += 2) {
      control.pass(2 * 60_000);
      await one.send("GET", "/agent/v1/orders");
      await sweep(control.deps);
    }
  };
  await look(0);
  expect(await notifiedTypes()).not.toContain("backup.late");
  await look(24);
  expect(await notifiedTypes()).toContain("backup.late");
});

test("the control plane's own contract gets the new directory and user", async () => {
  const { control, contract, repository } = await threeDaysLater();
  const kept = await control.admin.ask(Contract, "GET", `/api/v1/contracts/${contract.id}`);
  expect(kept.request).toMatchObject({ sourceDirectories: ["/srv/data/backup"], user: "backup" });
  const { body } = await control.admin.send("GET", `/api/v1/repositories/${repository.id}`);
  expect(body).toMatchObject({ location: "/mnt/new/control" });
});
