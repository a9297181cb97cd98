import { expect, test } from "vitest";
import { Assignment, JWS_TYPES, SignedAssignment } from "../../shared/assignment.ts";
import { Run, RunWithLog } from "../../shared/run.ts";
import { tick } from "../../control/tick.ts";
import { testControl, type TestHost } from "../support/control.ts";
import { declare, declareRepository } from "./declared.ts";
import { ordersOf, verified } from "./ordered.ts";
import { reportOf } from "./reported.ts";

async function pull(host: TestHost): Promise<Assignment> {
  const answer = await host.send("GET", "/agent/v1/assignment");
  const assignment = Assignment.parse(
    await verified(host, SignedAssignment.parse(answer.body).jws, JWS_TYPES.assignment),
  );
  expect(answer.headers.get("etag")).toBe(`"${assignment.revision}"`);
  return assignment;
}

test("an assignment is complete, signed, and contains nothing of another host", async () => {
  const control = await testControl();
  const [one, two] = [await control.enrol("one"), await control.enrol("two")];
  const mine = await declare(control, one, "photos");
  await declare(control, two, "videos");
  await control.admin.send("POST", "/api/v1/contracts", {
    host: one.id,
    name: "unbound",
    request: mine.contract.request,
  });
  const { createdAt: _made, changedAt: _since, host: _mine, undeclaredAt: _never, ...contract } = mine.contract;
  const {
    createdAt: _created,
    changedAt: _changed,
    declared: _here,
    undeclaredAt: _still,
    maintainer: _first,
    ...repository
  } = mine.repository;
  const { binding } = mine;
  expect(await pull(one)).toEqual({
    protocol: 1,
    host: one.id,
    revision: 1,
    issuedAt: "2026-11-23T08:00:00.000Z",
    contracts: [contract],
    repositories: [{ ...repository, maintains: true }],
    bindings: [
      {
        id: binding.id,
        name: "photos",
        contract: contract.id,
        repository: repository.id,
        paused: false,
        settings: binding.settings,
      },
    ],
  });
});

test("an assignment the host has already is not sent again", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const asked = (etag: string) => host.send("GET", "/agent/v1/assignment", undefined, { "if-none-match": etag });
  for (const etag of ['"0"', 'W/"0"']) expect(await asked(etag)).toMatchObject({ status: 304, body: "" });
  for (const etag of ["0", "*", '""']) expect((await asked(etag)).status).toBe(200);
  await declare(control, host, "photos");
  expect((await asked('"0"')).status).toBe(200);
  expect((await asked('"1"')).status).toBe(304);
});

test("a host with a newer revision than the database's (which was restored) gets an even newer one", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  await declare(control, host, "photos");
  const asked = (etag: string) => host.send("GET", "/agent/v1/assignment", undefined, { "if-none-match": etag });
  const answer = await asked('"41"');
  const { jws } = SignedAssignment.parse(answer.body);
  expect(await verified(host, jws, JWS_TYPES.assignment)).toMatchObject({
    revision: 42,
    bindings: [{ name: "photos" }],
  });
  expect(answer.headers.get("etag")).toBe('"42"');
  expect((await asked('"42"')).status).toBe(304);
  expect((await asked('"1"')).headers.get("etag")).toBe('"42"');
  // Nobody can push it out of the numbers that an ETag may have.
  expect((await asked('"999999999999999"')).headers.get("etag")).toBe('"42"');
});

test("the revision grows, and the host is poked, with every change of its assignment and no other", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const idle = await control.enrol("idle");
  const { contract, repository, binding } = await declare(control, host, "photos");
  const unbound = await declareRepository(control.admin, "unbound");
  const at = {
    binding: `/api/v1/bindings/${binding.id}`,
    contract: `/api/v1/contracts/${contract.id}`,
    repository: `/api/v1/repositories/${repository.id}`,
  };
  const [excludePatterns, settings] = [["*.tmp"], { retention: { keep_last: 3 } }];
  const request = { ...contract.request, excludePatterns };
  const steps: [grows: boolean, method: string, path: string, body?: object][] = [
    [true, "PATCH", at.contract, { request }],
    [false, "PATCH", at.contract, { request }],
    [true, "PATCH", at.binding, { settings }],
    [false, "PATCH", at.binding, { settings }],
    [true, "POST", `${at.binding}/pause`],
    [false, "POST", `${at.binding}/pause`],
    [true, "POST", `${at.binding}/resume`],
    [true, "PATCH", at.repository, { secrets: { B2_ACCOUNT_ID: { file: "/etc/b2" } } }],
    [false, "PATCH", at.repository, { name: "photos" }],
    [false, "PATCH", `/api/v1/repositories/${unbound.id}`, { name: "still-unbound" }],
    [false, "PATCH", `/api/v1/hosts/${host.id}`, { name: "uno" }],
    [false, "POST", "/api/v1/contracts", { host: "uno", name: "new", request }],
    [false, "POST", `${at.binding}/run`],
    [false, "PATCH", at.binding, { settings: { zone: "Mars/Olympus" } }],
  ];
  let revision = (await pull(host)).revision;
  for (const [grows, method, path, body] of steps) {
    control.hubCalls.length = 0;
    await control.admin.send(method, path, body);
    const next = (await pull(host)).revision;
    const poked = control.hubCalls.includes(`poke ${host.id} assignment`);
    expect({ method, path, body, grew: next - revision, poked }).toEqual({
      method,
      path,
      body,
      grew: grows ? 1 : 0,
      poked: grows,
    });
    revision = next;
  }
  expect((await pull(idle)).revision).toBe(0);
});

test("an ordered run waits, signed, under the order's id, until its host reports the run", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding } = await declare(control, host, "photos");
  control.hubCalls.length = 0;
  const run = await control.admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
  expect(run).toMatchObject({
    host: host.id,
    binding: binding.id,
    kind: "backup",
    trigger: "order",
    state: "queued",
    queuedAt: "2026-11-23T08:00:00.000Z",
  });
  expect(control.hubCalls).toEqual([`poke ${host.id} orders`]);
  expect(await ordersOf(host)).toEqual([
    {
      id: run.id,
      host: host.id,
      kind: "backup",
      binding: binding.id,
      issuedAt: "2026-11-23T08:00:00.000Z",
      expiresAt: "2026-11-24T08:00:00.000Z",
    },
  ]);
  expect(await control.admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`)).toEqual(run);
  await host.send("POST", "/agent/v1/reports", {
    reports: [reportOf({ id: run.id, binding: binding.id, state: "running" })],
  });
  expect(await ordersOf(host)).toEqual([]);
  expect(await control.admin.ask(RunWithLog, "GET", `/api/v1/runs/${run.id}`)).toMatchObject({
    state: "running",
    trigger: "order",
    queuedAt: run.queuedAt,
  });
});

test("a restore is ordered by binding id or name, with its snapshot and target", async () => {
  const control = await testControl();
  const [one, two] = [await control.enrol("one"), await control.enrol("two")];
  const { binding } = await declare(control, one, "photos");
  const restore = { snapshot: "latest", target: "/tmp/back", include: ["/srv/photos/a"] };
  const run = await control.admin.ask(Run, "POST", "/api/v1/restores", { binding: "photos", ...restore });
  expect(run).toMatchObject({ kind: "restore", state: "queued", binding: binding.id });
  expect(await ordersOf(one)).toMatchObject([{ id: run.id, kind: "restore", binding: binding.id, restore }]);
  expect(
    await control.admin.refused("POST", "/api/v1/restores", { binding: "videos", snapshot: "latest" }),
  ).toMatchObject({ status: 400, issues: [{ path: ["binding"] }] });
  expect(
    await control.admin.refused("POST", "/api/v1/restores", { binding: "photos", snapshot: "HEAD" }),
  ).toMatchObject({ status: 400, issues: [{ path: ["snapshot"] }] });

  const contract = await declare(control, two, "videos");
  await control.admin.send("PATCH", `/api/v1/bindings/${contract.binding.id}`, { name: "photos" });
  const refused = await control.admin.refused("POST", "/api/v1/restores", { binding: "photos", snapshot: "latest" });
  expect(refused).toMatchObject({
    status: 400,
    issues: [{ path: ["binding"], message: expect.stringContaining("give its id") }],
  });
});

test("a revoked host gets no orders", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding } = await declare(control, host, "photos");
  await control.admin.send("PATCH", `/api/v1/hosts/${host.id}`, { revoked: true });
  expect(await control.admin.refused("POST", `/api/v1/bindings/${binding.id}/run`)).toMatchObject({
    status: 409,
    code: "request.conflict",
  });
});

test("a queued run that is not fetched within a day is cancelled with the reason; a late report overrides that", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding } = await declare(control, host, "photos");
  const run = await control.admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
  const now = () => control.admin.ask(RunWithLog, "GET", `/api/v1/runs/${run.id}`);
  control.pass(86_399_999);
  await tick(control.deps);
  expect(await now()).toMatchObject({ state: "queued" });
  control.pass(1);
  await tick(control.deps);
  expect(await now()).toMatchObject({
    state: "cancelled",
    failure: { code: "run.expired" },
    finishedAt: "2026-11-24T08:00:00.000Z",
  });
  expect(await ordersOf(host)).toEqual([]);
  await host.send("POST", "/agent/v1/reports", {
    reports: [reportOf({ id: run.id, binding: binding.id, state: "succeeded" })],
  });
  expect(await now()).toMatchObject({ state: "succeeded", failure: null });
});

test("a queued run is cancelled at once; a running one by an order that stays until it is over", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding } = await declare(control, host, "photos");
  const report = (id: string, state: "running" | "cancelled", sequence: number) =>
    host.send("POST", "/agent/v1/reports", { reports: [reportOf({ id, binding: binding.id, state, sequence })] });
  const cancel = (id: string) => control.admin.ask(Run, "POST", `/api/v1/runs/${id}/cancel`);

  const queued = await control.admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
  expect(await cancel(queued.id)).toMatchObject({ state: "cancelled", failure: { code: "run.cancelled" } });
  expect(await ordersOf(host)).toMatchObject([{ kind: "cancel", run: queued.id }]);
  expect(await control.admin.refused("POST", `/api/v1/runs/${queued.id}/cancel`)).toMatchObject({
    status: 409,
    code: "runs.already_finished",
  });

  const running = await control.admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
  await report(running.id, "running", 1);
  expect(await cancel(running.id)).toMatchObject({ state: "running" });
  await cancel(running.id);
  const stops = async () =>
    (await ordersOf(host)).filter((order) => order.kind === "cancel" && order.run === running.id);
  expect(await stops()).toHaveLength(1);
  await report(running.id, "running", 2);
  expect(await stops()).toHaveLength(1);
  await report(running.id, "cancelled", 3);
  expect(await stops()).toEqual([]);
});

test("a cancel order that is not fetched expires after an hour", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { binding } = await declare(control, host, "photos");
  const run = await control.admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
  await control.admin.send("POST", `/api/v1/runs/${run.id}/cancel`);
  expect(await ordersOf(host)).toHaveLength(1);
  control.pass(3_600_000);
  expect(await ordersOf(host)).toEqual([]);
});
