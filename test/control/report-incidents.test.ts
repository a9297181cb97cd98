import { expect, test } from "vitest";
import { messageTextOf } from "../../control/notify/message-text.ts";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { Event } from "../../shared/event.ts";
import { instant } from "../../shared/ids.ts";
import type { RunReport } from "../../shared/report.ts";
import type { TestControl } from "../support/control.ts";
import { declareRepository } from "./declared.ts";
import { subscribedHost, send, notifications, notifiedTypes } from "./subscribed-host.ts";
import { reportOf, runIdAt } from "./reported.ts";
import { MINUTE, openIncidentKinds } from "./sweeps.ts";

type Outcome = Partial<Parameters<typeof reportOf>[0]> & Pick<Parameters<typeof reportOf>[0], "state">;

/** A run of this moment, one a minute. */
function runNow(control: TestControl, binding: string, outcome: Outcome): RunReport {
  control.pass(MINUTE);
  return reportOf({ id: runIdAt(instant(control.deps.clock.now())), binding, ...outcome });
}

function ofRepository(report: RunReport, repository: string): RunReport {
  return { ...report, run: { ...report.run, binding: null, repository } };
}

/** Bindings of several contracts to one repository far away, on one or several hosts. */
async function sharing(names: Record<string, string[]>) {
  const all = await subscribedHost();
  const { control } = all;
  const far = await declareRepository(control.admin, "far", "rest:https://backup.example/all");
  const bindings = new Map<string, { host: typeof all.host; id: string }>();
  for (const [hostName, contracts] of Object.entries(names)) {
    const host = hostName === "one" ? all.host : await control.enrol(hostName);
    for (const name of contracts) {
      const request = { user: "root", sourceDirectories: [`/srv/${name}`] };
      const contract = await control.admin.ask(Contract, "POST", "/api/v1/contracts", { host: host.id, name, request });
      const body = { name: `${name}-far`, contract: contract.id, repository: far.id };
      const { id } = await control.admin.ask(Binding, "POST", "/api/v1/bindings", body);
      bindings.set(name, { host, id });
    }
  }
  const report = async (name: string, outcome: Outcome): Promise<void> => {
    const { host, id } = bindings.get(name) ?? { host: all.host, id: all.binding.id };
    await send(host, runNow(control, id, outcome));
  };
  return { ...all, far, report };
}

test("an unreachable repository is notified once, whatever fails because of it, until a run of that host reaches it", async () => {
  const { control, far, report } = await sharing({ one: ["mail", "music", "notes"], two: ["films"] });
  const unreachable = { state: "failed", failure: "repository.unreachable" } as const;
  for (const name of ["mail", "music", "films", "notes", "mail"]) await report(name, unreachable);
  expect(await openIncidentKinds(control)).toEqual(["repository.unreachable"]);
  await report("films", { state: "succeeded" });
  await report("music", { state: "failed", failure: "source.missing" });
  expect(await openIncidentKinds(control)).toEqual(["binding.failing", "repository.unreachable"]);
  await report("notes", { state: "failed", failure: "repository.locked" });
  await report("music", { state: "succeeded" });
  await report("notes", { state: "succeeded" });
  expect(await openIncidentKinds(control)).toEqual([]);
  const events = await notifications(control);
  expect(await notifiedTypes(control)).toEqual([
    "repository.recovered",
    "repository.unreachable",
    "run.failed",
    "run.failed",
    "run.recovered",
    "run.recovered",
  ]);
  const about = { repository: { id: far.id, name: "far" }, binding: { name: "mail-far" }, host: { name: "one" } };
  expect(events[0]?.data).toMatchObject({ ...about, incident: { kind: "repository.unreachable" } });
});

test("damage is notified once per repository, and closed only by a check that finds none", async () => {
  const { control, host, repository, binding } = await subscribedHost();
  const of = (outcome: Outcome) => ofRepository(runNow(control, binding.id, outcome), repository.id);
  const damaged = { state: "failed", failure: "repository.damaged" } as const;
  await send(host, of({ kind: "check", ...damaged }));
  await send(host, of({ kind: "prune", ...damaged }));
  await send(host, runNow(control, binding.id, damaged));
  await send(host, runNow(control, binding.id, { state: "succeeded" }));
  await send(host, of({ kind: "prune", state: "succeeded" }));
  expect([await openIncidentKinds(control), await notifiedTypes(control)]).toEqual([
    ["repository.damaged"],
    ["repository.check_failed"],
  ]);
  await send(host, of({ kind: "check", state: "failed", failure: "repository.wrong_passphrase" }));
  await send(host, of({ kind: "check", state: "succeeded" }));
  expect(await openIncidentKinds(control)).toEqual([]);
  expect((await notifications(control)).map(({ type }) => type).slice(1, 2)).toEqual(["run.failed"]);
  expect((await notifiedTypes(control)).slice(1)).toEqual(["repository.recovered", "run.failed", "run.recovered"]);
});

test("an incident opens after the configured number of consecutive failures; a good run resets the count", async () => {
  const { control, host, binding } = await subscribedHost();
  const settings = { alerts: { failures: 3 } };
  await control.admin.ask(Binding, "PATCH", `/api/v1/bindings/${binding.id}`, { settings });
  const one = (state: "failed" | "interrupted" | "succeeded") => send(host, runNow(control, binding.id, { state }));
  for (const state of ["failed", "interrupted", "succeeded", "failed", "failed"] as const) await one(state);
  expect(await notifiedTypes(control)).toEqual([]);
  await one("failed");
  await one("failed");
  expect(await openIncidentKinds(control)).toEqual(["binding.failing"]);
  expect(await notifiedTypes(control)).toEqual(["run.failed"]);
  await one("succeeded");
  expect(await notifiedTypes(control)).toEqual(["run.failed", "run.recovered"]);
});

test("two good runs in one POST end a failure once, and are accepted", async () => {
  const { control, host, binding } = await subscribedHost();
  await send(host, runNow(control, binding.id, { state: "failed" }));
  control.pass(60_000);
  const first = runNow(control, binding.id, { state: "succeeded" });
  control.pass(60_000);
  const second = runNow(control, binding.id, { state: "succeeded" });
  expect(await send(host, first, second)).toEqual([first.run.id, second.run.id]);
  expect(await openIncidentKinds(control)).toEqual([]);
  expect(await notifiedTypes(control)).toEqual(["run.failed", "run.recovered"]);
});

test("a backup that starts to have warnings is notified once, not every night", async () => {
  const { control, host, binding } = await subscribedHost();
  const one = (state: "failed" | "warned" | "succeeded") => send(host, runNow(control, binding.id, { state }));
  for (const state of ["succeeded", "warned", "warned", "failed", "warned"] as const) await one(state);
  expect(await notifiedTypes(control)).toEqual(["run.failed", "run.recovered", "run.warned"]);
  await one("succeeded");
  await one("warned");
  const warned = (await notifications(control)).filter(({ type }) => type === "run.warned");
  expect(warned).toMatchObject([{}, { data: { run: { state: "warned" }, binding: { id: binding.id } } }]);
});

test("a warning's notification lists the first skipped files", async () => {
  const { control, host, binding } = await subscribedHost();
  const warnings = Array.from({ length: 9 }, (_, index) => `/srv/photos/${index} can't be read`);
  await send(host, runNow(control, binding.id, { state: "succeeded" }));
  await send(host, runNow(control, binding.id, { state: "warned", warnings }));
  const [notice] = (await notifications(control)).filter(({ type }) => type === "run.warned");
  expect(notice).toMatchObject({ data: { run: { warnings: warnings.slice(0, 5), warningsMore: 4 } } });
  const { body } = messageTextOf(Event.parse({ timestamp: "2026-11-23T08:00:00.000Z", ...notice }));
  expect(body).toContain("/srv/photos/4 can't be read\n- and 4 more");
});

test("sources that look normal again are notified", async () => {
  const { control, host, binding } = await subscribedHost();
  await send(host, runNow(control, binding.id, { state: "warned", suspicious: "2 files, usually 900" }));
  await send(host, runNow(control, binding.id, { state: "failed", failure: "hook.failed" }));
  expect(await openIncidentKinds(control)).toEqual(["binding.failing", "binding.suspicious"]);
  await send(host, runNow(control, binding.id, { state: "succeeded" }));
  expect(await openIncidentKinds(control)).toEqual([]);
  expect(await notifiedTypes(control)).toEqual([
    "run.failed",
    "run.recovered",
    "source.recovered",
    "source.suspicious",
  ]);
});

test("a run from a clock that was a year ahead does not hide later failures", async () => {
  const { control, host, binding } = await subscribedHost();
  const ahead = runIdAt("2027-11-23T08:00:00.000Z");
  await send(host, reportOf({ id: ahead, binding: binding.id, state: "succeeded" }));
  await send(host, runNow(control, binding.id, { state: "failed" }));
  expect(await notifiedTypes(control)).toEqual(["run.failed"]);
  await send(host, runNow(control, binding.id, { state: "succeeded" }));
  expect(await notifiedTypes(control)).toEqual(["run.failed", "run.recovered"]);
});

test("a binding deleted while it fails has its incidents closed without a notification", async () => {
  const { control, host, binding } = await subscribedHost();
  await send(host, runNow(control, binding.id, { state: "failed" }));
  expect(await openIncidentKinds(control)).toEqual(["binding.failing"]);
  await control.admin.send("DELETE", `/api/v1/bindings/${binding.id}`);
  expect([await openIncidentKinds(control), await notifiedTypes(control)]).toEqual([[], ["run.failed"]]);
});
