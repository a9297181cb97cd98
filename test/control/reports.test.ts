import { expect, test } from "vitest";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { Repository } from "../../shared/repository.ts";
import type { Report } from "../../shared/report.ts";
import { Run, Snapshot } from "../../shared/run.ts";
import type { TestControl } from "../support/control.ts";
import { declare, declareRepository } from "./declared.ts";
import { EARLY, LATE, LATER, subscribedHost, runOf, send, notifiedTypes } from "./subscribed-host.ts";
import { reportOf, runIdAt, snapshotAt } from "./reported.ts";

const [SNAP_A, SNAP_B] = ["a".repeat(64), "b".repeat(64)];

const snapshotsOf = async ({ admin }: TestControl) =>
  (await admin.ask(page(Snapshot), "GET", "/api/v1/snapshots")).items;

test("a report is stored with its log, and repeated it changes nothing", async () => {
  const { control, host, binding } = await subscribedHost();
  const report = reportOf({ id: EARLY, binding: binding.id, state: "failed", log: "no such directory" });
  expect(await send(host, report)).toEqual([EARLY]);
  const kept = await runOf(control, EARLY);
  expect(kept).toEqual({ ...report.run, host: host.id, progress: null, log: "no such directory" });
  expect(await send(host, report)).toEqual([EARLY]);
  expect(await send(host, report, report)).toEqual([EARLY]);
  expect(await runOf(control, EARLY)).toEqual(kept);
  expect(await notifiedTypes(control)).toEqual(["run.failed"]);
  const { items } = await control.admin.ask(page(Run), "GET", "/api/v1/runs");
  expect(items).toHaveLength(1);
  expect(items[0]).not.toHaveProperty("log");
});

test("health and the last success follow the runs", async () => {
  const { control, host, binding } = await subscribedHost();
  const now = async () => {
    const { health, lastSuccessAt } = await control.admin.ask(Binding, "GET", `/api/v1/bindings/${binding.id}`);
    return [health, lastSuccessAt];
  };
  const success = "2026-11-20T00:01:00.000Z";
  const reports: [Report, unknown[]][] = [
    [reportOf({ id: EARLY, binding: binding.id, state: "running" }), ["unprotected", null]],
    [reportOf({ id: EARLY, binding: binding.id, state: "warned", sequence: 2 }), ["healthy", success]],
    [reportOf({ id: LATE, binding: binding.id, state: "failed" }), ["failing", success]],
    [reportOf({ id: LATER, binding: binding.id, state: "cancelled" }), ["failing", success]],
    [
      reportOf({ id: LATE, binding: binding.id, state: "succeeded", sequence: 2 }),
      ["healthy", "2026-11-21T00:01:00.000Z"],
    ],
    [
      reportOf({ id: runIdAt("2026-11-22T01:00:00.000Z"), binding: binding.id, kind: "forget", state: "failed" }),
      ["failing", "2026-11-21T00:01:00.000Z"],
    ],
  ];
  for (const [report, state] of reports) {
    await send(host, report);
    expect(await now()).toEqual(state);
  }
});

test("the list of snapshots follows the host's; each keeps its run; an older list is ignored", async () => {
  const { control, host, binding, repository } = await subscribedHost();
  const [a, b] = [snapshotAt(SNAP_A, "2026-11-20T00:00:30.000Z"), snapshotAt(SNAP_B, "2026-11-21T00:00:30.000Z")];
  const of = (id: string, listed: (typeof a)[] | null, made?: string) =>
    reportOf({ id, binding: binding.id, state: "succeeded", listed, ...(made === undefined ? {} : { made }) });
  await send(host, of(EARLY, [a], SNAP_A));
  const first = { ...a, host: host.id, binding: binding.id, repository: repository.id, run: EARLY };
  expect(await snapshotsOf(control)).toEqual([first]);
  expect(await control.admin.ask(Snapshot, "GET", `/api/v1/snapshots/${SNAP_A}`)).toEqual(first);
  await send(host, of(LATER, [a, b], SNAP_B));
  expect(await snapshotsOf(control)).toMatchObject([{ id: SNAP_B, run: LATER }, first]);
  await send(host, of(LATE, [a]));
  expect(await snapshotsOf(control)).toHaveLength(2);
  await send(host, of(runIdAt("2026-11-22T01:00:00.000Z"), null));
  expect(await snapshotsOf(control)).toHaveLength(2);
  await send(
    host,
    reportOf({
      id: runIdAt("2026-11-22T02:00:00.000Z"),
      binding: binding.id,
      kind: "forget",
      state: "succeeded",
      listed: [b],
    }),
  );
  expect(await snapshotsOf(control)).toMatchObject([{ id: SNAP_B, run: LATER }]);
  const pages = await control.admin.ask(
    page(Snapshot),
    "GET",
    `/api/v1/snapshots?repository=${repository.id}&binding=${binding.id}&limit=1`,
  );
  expect(pages).toMatchObject({ items: [{ id: SNAP_B }], next: null });
});

test("reports from a clock that was a day ahead hide no later ones", async () => {
  const { control, host, binding } = await subscribedHost();
  const ahead = { id: runIdAt("2026-11-24T08:00:00.000Z"), binding: binding.id, state: "succeeded" } as const;
  const tomorrow = snapshotAt(SNAP_A, "2026-11-24T08:00:30.000Z");
  await send(host, reportOf({ ...ahead, made: SNAP_A, listed: [tomorrow] }));
  expect((await snapshotsOf(control)).map(({ id }) => id)).toEqual([SNAP_A]);

  const right = { id: runIdAt("2026-11-23T07:30:00.000Z"), binding: binding.id, state: "succeeded" } as const;
  const today = snapshotAt(SNAP_B, "2026-11-23T07:30:30.000Z");
  await send(host, reportOf({ ...right, made: SNAP_B, listed: [today] }));
  expect((await snapshotsOf(control)).map(({ id }) => id)).toEqual([SNAP_B]);

  const failed = { id: runIdAt("2026-11-23T07:45:00.000Z"), binding: binding.id, state: "failed" } as const;
  await send(host, reportOf({ ...failed, listed: [] }));
  expect(await notifiedTypes(control)).toEqual(["run.failed"]);
  const now = await control.admin.ask(Binding, "GET", `/api/v1/bindings/${binding.id}`);
  expect(now).toMatchObject({ health: "failing", lastSuccessAt: "2026-11-23T07:31:00.000Z" });
  expect(await snapshotsOf(control)).toEqual([]);
});

test("ten thousand snapshots are one report", async () => {
  const { control, host, binding } = await subscribedHost();
  const listed = Array.from({ length: 10_000 }, (_, index) =>
    snapshotAt(index.toString(16).padStart(64, "0"), new Date(Date.parse("2025-01-01") + index * 60_000).toISOString()),
  );
  expect(await send(host, reportOf({ id: EARLY, binding: binding.id, state: "succeeded", listed }))).toEqual([EARLY]);
  expect((await snapshotsOf(control))[0]).toMatchObject({ id: listed.at(-1)?.id });
});

test("a repository's engine id is stored once, sent to every host that uses it, and never replaced", async () => {
  const { control, host, binding } = await subscribedHost();
  const shared = await declareRepository(control.admin, "shared", "s3:s3.example/bucket");
  const other = await control.enrol("two");
  const { contract } = await declare(control, other, "videos");
  const mine = await control.admin.ask(Binding, "POST", "/api/v1/bindings", {
    contract: binding.contract,
    repository: shared.id,
  });
  await control.admin.send("POST", "/api/v1/bindings", { contract: contract.id, repository: shared.id });
  const revisions = async () => [
    (await host.send("GET", "/agent/v1/assignment")).headers.get("etag"),
    (await other.send("GET", "/agent/v1/assignment")).headers.get("etag"),
  ];
  const engineId = async () =>
    (await control.admin.ask(Repository, "GET", `/api/v1/repositories/${shared.id}`)).engineId;
  expect(await revisions()).toEqual(['"2"', '"2"']);
  control.hubCalls.length = 0;
  await send(host, reportOf({ id: EARLY, binding: mine.id, state: "succeeded", engineId: "e1" }));
  expect([await engineId(), await revisions()]).toEqual(["e1", ['"3"', '"3"']]);
  expect(control.hubCalls.toSorted()).toEqual([`poke ${host.id} assignment`, `poke ${other.id} assignment`].toSorted());
  await send(host, reportOf({ id: LATE, binding: mine.id, state: "succeeded", engineId: "e2" }));
  expect([await engineId(), await revisions()]).toEqual(["e1", ['"3"', '"3"']]);
});

test("a report of another host's run or binding is not accepted; own ones in the same POST are", async () => {
  const { control, host, binding } = await subscribedHost();
  const other = await control.enrol("two");
  const theirs = await declare(control, other, "videos");
  await send(host, reportOf({ id: EARLY, binding: binding.id, state: "running" }));
  const before = await runOf(control, EARLY);
  const accepted = await send(
    other,
    reportOf({ id: EARLY, binding: theirs.binding.id, state: "succeeded", sequence: 9 }),
    reportOf({ id: LATE, binding: binding.id, state: "failed", listed: [], engineId: "stolen" }),
    reportOf({ id: LATER, binding: theirs.binding.id, state: "succeeded" }),
  );
  expect(accepted).toEqual([LATER]);
  expect(await runOf(control, EARLY)).toEqual(before);
  expect(await control.admin.refused("GET", `/api/v1/runs/${LATE}`)).toMatchObject({ status: 404 });
  expect(await notifiedTypes(control)).toEqual([]);
});

test("the last reports of a deleted binding are stored as history, without a notification", async () => {
  const { control, host, binding } = await subscribedHost();
  await control.admin.send("DELETE", `/api/v1/bindings/${binding.id}`);
  expect(
    await send(
      host,
      reportOf({
        id: LATE,
        binding: binding.id,
        state: "failed",
        listed: [snapshotAt(SNAP_A, "2026-11-20T00:00:30.000Z")],
      }),
    ),
  ).toEqual([LATE]);
  expect(await runOf(control, LATE)).toMatchObject({ state: "failed", binding: binding.id });
  expect([await notifiedTypes(control), await snapshotsOf(control)]).toEqual([[], []]);
});

test("invalid reports are rejected as a whole", async () => {
  const { control, host, binding } = await subscribedHost();
  const good = reportOf({ id: EARLY, binding: binding.id, state: "succeeded" });
  for (const reports of [
    [],
    [good, { ...good, sequence: 0 }],
    [good, { type: "gossip" }],
    Array.from({ length: 101 }, () => good),
  ]) {
    expect(await host.refused("POST", "/agent/v1/reports", { reports })).toMatchObject({
      status: 400,
      code: "request.invalid",
    });
  }
  const huge = JSON.stringify({ reports: [good], padding: "x".repeat(8 * 1024 * 1024) });
  expect(await host.refused("POST", "/agent/v1/reports", huge)).toMatchObject({
    status: 413,
    code: "request.too_large",
  });
  expect(await control.admin.refused("GET", `/api/v1/runs/${EARLY}`)).toMatchObject({ status: 404 });
});
