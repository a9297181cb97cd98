import { expect, test } from "vitest";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { instant } from "../../shared/ids.ts";
import { Repository } from "../../shared/repository.ts";
import { Run } from "../../shared/run.ts";
import { testControl } from "../support/control.ts";
import { openAssignment, openOrders } from "./assigned.ts";
import { declare, declareRepository } from "./declared.ts";
import { reportOf, runIdAt } from "./reported.ts";
import { send } from "./subscribed-host.ts";

test("a retention, or its dry run, is ordered from the binding's host", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding, repository } = await declare(control, host, "photos");
  const forget = (body: object) => control.admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/forget`, body);
  const dry = await forget({ dryRun: true });
  expect(dry).toMatchObject({
    kind: "forget",
    state: "queued",
    binding: binding.id,
    repository: repository.id,
    plan: null,
  });
  const real = await forget({});
  expect((await openOrders(host)).map((order) => [order.id, "dryRun" in order && order.dryRun])).toEqual([
    [dry.id, true],
    [real.id, false],
  ]);
  expect(await control.admin.refused("POST", `/api/v1/bindings/${binding.id}/forget`, { dryrun: true })).toMatchObject({
    status: 400,
  });
});

test("a repository is checked and pruned by the host that maintains it, one at a time, in its own history", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding, repository } = await declare(control, host, "photos");
  const ask = (path: string) => control.admin.ask(Run, "POST", `/api/v1/${path}`);
  const check = await ask(`repositories/${repository.id}/check`);
  expect(check).toMatchObject({ kind: "check", host: host.id, binding: null, repository: repository.id });
  expect(await ask(`bindings/${binding.id}/check`)).toMatchObject({ id: check.id });
  const prune = await ask(`repositories/${repository.id}/prune`);
  expect(await openOrders(host)).toMatchObject([
    { kind: "check", id: check.id, repository: repository.id },
    { kind: "prune", id: prune.id, repository: repository.id },
  ]);
  const { items } = await control.admin.ask(page(Run), "GET", `/api/v1/runs?repository=${repository.id}`);
  expect(items.map(({ id }) => id)).toEqual([prune.id, check.id]);
});

test("upkeep that can't be done is rejected with the reason", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding, repository } = await declare(control, host, "photos");
  await control.admin.ask(Repository, "PATCH", `/api/v1/repositories/${repository.id}`, { appendOnly: true });
  const refused = (path: string, body?: object) => control.admin.refused("POST", `/api/v1/${path}`, body);
  for (const [path, body] of [
    [`repositories/${repository.id}/prune`, undefined],
    [`bindings/${binding.id}/forget`, {}],
  ] as const) {
    expect(await refused(path, body)).toMatchObject({ status: 409, message: expect.stringContaining("append-only") });
  }
  const unused = await declareRepository(control.admin, "unused");
  expect(await refused(`repositories/${unused.id}/check`)).toMatchObject({
    status: 409,
    message: expect.stringContaining("no binding has repository"),
  });
  const other = await control.enrol("other");
  await control.admin.ask(Repository, "PATCH", `/api/v1/repositories/${repository.id}`, { maintainer: other.id });
  expect(await refused(`repositories/${repository.id}/check`)).toMatchObject({
    status: 409,
    message: expect.stringContaining("has no binding to it"),
  });
  expect(await refused(`repositories/${host.id}/check`)).toMatchObject({ status: 404, code: "repositories.not_found" });
});

test("what is append-only for its hosts is forgotten and pruned by its maintainer, who alone learns how", async () => {
  const control = await testControl();
  const [host, maintainer] = [await control.enrol("one"), await control.enrol("two")];
  const [photos, others] = [await declare(control, host, "photos"), await declare(control, maintainer, "others")];
  const repository = await declareRepository(control.admin, "shared", "rest:https://nas:8000/shared");
  const path = `/api/v1/repositories/${repository.id}`;
  const bind = (contract: string) =>
    control.admin.ask(Binding, "POST", "/api/v1/bindings", { contract, repository: repository.id });
  const binding = await bind(photos.contract.id);
  await bind(others.contract.id);
  const access = { location: "rest:https://nas:8001/shared", passphrase: { file: "/root/passphrase" } };
  const maintenance = { ...repository.maintenance, access };
  await control.admin.ask(Repository, "PATCH", path, { appendOnly: true, maintainer: "two", maintenance });
  const accessOf = async (of: typeof host): Promise<unknown> =>
    (await openAssignment(of)).repositories.find(({ id }) => id === repository.id)?.maintenance.access;
  expect(await accessOf(host)).toBeUndefined();
  expect(await accessOf(maintainer)).toMatchObject(access);
  const forget = await control.admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/forget`, {});
  expect(forget).toMatchObject({ host: maintainer.id, binding: binding.id, kind: "forget" });
  expect(await openOrders(maintainer)).toMatchObject([
    { kind: "forget", id: forget.id, from: { host: host.id, binding: { id: binding.id } } },
  ]);
  expect(await openOrders(host)).toEqual([]);
  expect(await control.admin.ask(Run, "POST", `${path}/prune`)).toMatchObject({ host: maintainer.id });
  // Its report is accepted; and a good backup is followed by the next one.
  const done = reportOf({ id: forget.id, binding: binding.id, kind: "forget", state: "succeeded" });
  expect(await send(maintainer, done)).toEqual([forget.id]);
  const good = reportOf({ id: runIdAt(instant(Date.now())), binding: binding.id, state: "succeeded" });
  await send(host, good);
  await send(host, good);
  expect((await openOrders(maintainer)).filter(({ kind }) => kind === "forget")).toHaveLength(1);
});

test("a retention by tags is refused for a borg repository, when bound and when changed, and taken for restic", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { contract, binding } = await declare(control, host, "photos");
  const location = "ssh://backup@nas.example.org/srv/photos";
  const borg = await control.admin.ask(Repository, "POST", "/api/v1/repositories", {
    name: "borg",
    provider: "borg",
    location,
    passphrase: { generate: true },
  });
  const settings = { retention: { keep_tag: ["keep"] } };
  const made = { contract: contract.id, repository: borg.id, name: "second" };
  const bound = await control.admin.ask(Binding, "POST", "/api/v1/bindings", made);
  const refused = [
    await control.admin.refused("PATCH", `/api/v1/bindings/${bound.id}`, { settings }),
    await control.admin
      .send("DELETE", `/api/v1/bindings/${bound.id}`)
      .then(() => control.admin.refused("POST", "/api/v1/bindings", { ...made, settings })),
  ];
  const path = ["settings", "retention", "keep_tag"];
  for (const { issues } of refused)
    expect(issues).toEqual([{ path, message: expect.stringContaining("borg 1 has no tags: use the other rules") }]);
  const changed = await control.admin.ask(Binding, "PATCH", `/api/v1/bindings/${binding.id}`, { settings });
  expect(changed.settings.retention).toEqual(settings.retention);
});

test("a schedule is refused with the reason: what has no meaning here, and what would have no time at all", async () => {
  const control = await testControl();
  const { binding } = await declare(control, await control.enrol("one"), "photos");
  for (const [key, given, reason] of [
    ["WakeSystem", true, "never woken from sleep for a backup"],
    ["OnUnitActiveSec", "10s", "must be at least a minute"],
    ["OnCalendar", [], "must have at least one expression, unless OnBootSec"],
  ] as const) {
    const change = { settings: { timerConfig: { [key]: given } } };
    const { status, issues } = await control.admin.refused("PATCH", `/api/v1/bindings/${binding.id}`, change);
    expect(status).toBe(400);
    expect(issues).toEqual([{ path: ["settings", "timerConfig", key], message: expect.stringContaining(reason) }]);
  }
});
