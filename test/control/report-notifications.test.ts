import { describe, expect, test } from "vitest";
import { Binding } from "../../shared/binding.ts";
import { DATABASES } from "../support/control.ts";
import { EARLY, LATE, LATER, subscribedHost, runOf, send, notifications, notifiedTypes } from "./subscribed-host.ts";
import { refusalOf, reportOf, runIdAt } from "./reported.ts";

describe.each(DATABASES)("with a database of the kind %s", (database) => {
  test("an older report never overwrites a newer one, in one POST or in several", async () => {
    const { control, host, binding } = await subscribedHost(database);
    const at = (sequence: number, state: "running" | "interrupted" | "succeeded") =>
      reportOf({ id: EARLY, binding: binding.id, state, sequence, log: `${sequence}` });
    expect(await send(host, at(2, "interrupted"))).toEqual([EARLY]);
    expect(await send(host, at(1, "running"))).toEqual([EARLY]);
    expect(await runOf(control, EARLY)).toMatchObject({ state: "interrupted", log: "2" });
    expect(await send(host, at(4, "succeeded"), at(3, "running"))).toEqual([EARLY]);
    expect(await runOf(control, EARLY)).toMatchObject({ state: "succeeded", log: "4", failure: null });
    expect(await notifiedTypes(control)).toEqual(["run.failed", "run.recovered"]);
  });

  test("run.failed once when a kind of run starts to fail, run.recovered once when it succeeds, with the time since", async () => {
    const { control, host, binding, contract, repository } = await subscribedHost(database);
    const days = ["18", "19", "20", "21", "22"].map((day) => runIdAt(`2026-11-${day}T00:00:00.000Z`));
    const states = ["succeeded", "failed", "interrupted", "cancelled", "warned"] as const;
    const heard: string[][] = [];
    for (const [index, state] of states.entries()) {
      control.pass(1000);
      await send(
        host,
        reportOf({ id: days[index] ?? "", binding: binding.id, state, failure: "repository.wrong_passphrase" }),
      );
      heard.push(await notifiedTypes(control));
    }
    expect(heard).toEqual([[], ["run.failed"], ["run.failed"], ["run.failed"], ["run.failed", "run.recovered"]]);
    const [failed, recovered] = await notifications(control);
    const about = {
      binding: { id: binding.id, name: "photos" },
      contract: { id: contract.id, name: "photos" },
      repository: { id: repository.id, name: "photos" },
      host: { id: host.id, name: "one" },
    };
    expect(failed).toEqual({
      type: "run.failed",
      timestamp: "2026-11-23T08:00:02.000Z",
      data: {
        run: {
          id: days[1],
          kind: "backup",
          state: "failed",
          trigger: "schedule",
          startedAt: "2026-11-19T00:00:00.000Z",
          finishedAt: "2026-11-19T00:01:00.000Z",
          failure: { code: "repository.wrong_passphrase", message: "/srv is not there", next: "bring it back" },
        },
        ...about,
        incident: { id: expect.any(String), kind: "binding.failing", openedAt: "2026-11-23T08:00:02.000Z" },
      },
    });
    expect(recovered).toMatchObject({
      data: { run: { id: days[4], state: "warned", failure: null }, ...about, failedSince: "2026-11-19T00:01:00.000Z" },
    });
    expect(control.wakes()).toBe(2);
  });

  test("each kind of run has its own state", async () => {
    const { control, host, binding } = await subscribedHost(database);
    await send(host, reportOf({ id: EARLY, binding: binding.id, state: "failed" }));
    await send(host, reportOf({ id: LATE, binding: binding.id, state: "succeeded", kind: "forget" }));
    expect(await notifiedTypes(control)).toEqual(["run.failed"]);
    await send(host, reportOf({ id: LATER, binding: binding.id, state: "failed", kind: "restore" }));
    expect(await notifiedTypes(control)).toEqual(["run.failed", "run.failed"]);
  });

  test("reports spooled during a downtime have the same effect in any order of one POST", async () => {
    const { control, host, binding } = await subscribedHost(database);
    const of = (id: string, state: "failed" | "succeeded") => reportOf({ id, binding: binding.id, state });
    expect(await send(host, of(LATER, "succeeded"), of(EARLY, "failed"), of(LATE, "failed"))).toEqual([
      EARLY,
      LATE,
      LATER,
    ]);
    const [failed, recovered] = (await notifications(control)).toSorted((a, b) => (a.type < b.type ? -1 : 1));
    expect(failed).toMatchObject({ type: "run.failed", data: { run: { id: EARLY } } });
    expect(recovered).toMatchObject({
      type: "run.recovered",
      data: { run: { id: LATER }, failedSince: "2026-11-20T00:01:00.000Z" },
    });
  });

  test("an old failure reported after a newer success is not notified", async () => {
    const { control, host, binding } = await subscribedHost(database);
    await send(host, reportOf({ id: LATE, binding: binding.id, state: "succeeded" }));
    await send(host, reportOf({ id: EARLY, binding: binding.id, state: "failed" }));
    expect(await notifiedTypes(control)).toEqual([]);
    expect(await control.admin.ask(Binding, "GET", `/api/v1/bindings/${binding.id}`)).toMatchObject({
      health: "healthy",
    });
  });

  test("the same failure posted many times concurrently is notified once", async () => {
    const { control, host, binding } = await subscribedHost(database);
    const failures = [EARLY, LATE].map((id) => reportOf({ id, binding: binding.id, state: "failed" }));
    await Promise.all([0, 1, 2, 3].map(() => send(host, ...failures)));
    expect(await notifiedTypes(control)).toEqual(["run.failed"]);
  });

  test("a state and its notification are written together or not at all", async () => {
    const { control, host, binding } = await subscribedHost(database);
    const errors: unknown[] = [];
    control.deps.log.error = (message) => void errors.push(message);
    await control.deps.db.run(
      "create trigger full before insert on deliveries begin select raise(abort, 'disk full'); end",
    );
    const report = reportOf({ id: EARLY, binding: binding.id, state: "failed" });
    expect(await host.refused("POST", "/agent/v1/reports", { reports: [report] })).toMatchObject({
      status: 500,
      code: "internal",
    });
    expect(errors).toHaveLength(1);
    expect(await control.admin.refused("GET", `/api/v1/runs/${EARLY}`)).toMatchObject({ status: 404 });
    await control.deps.db.run("drop trigger full");
    expect(await send(host, report)).toEqual([EARLY]);
    expect(await notifiedTypes(control)).toEqual(["run.failed"]);
  });

  test("a host's refusal is notified once, and another host's id is not taken over", async () => {
    const { control, host } = await subscribedHost(database);
    const other = await control.enrol("two");
    const refusal = refusalOf(LATE);
    for (let time = 0; time < 2; time++) expect(await send(host, refusal)).toEqual([LATE]);
    expect(await send(other, refusal)).toEqual([]);
    const { type: _type, id: _id, ...facts } = refusal;
    expect(await notifications(control)).toMatchObject([
      { type: "host.policy_refused", data: { host: { id: host.id, name: "one" }, ...facts } },
    ]);
  });

  test("source.suspicious once at its beginning, stored or not, and again after a normal one", async () => {
    const { control, host, binding } = await subscribedHost(database);
    const days = ["15", "16", "17", "18", "19", "20", "21"].map((day) => runIdAt(`2026-11-${day}T00:00:00.000Z`));
    const wrong = "the sources hold 2 files of 2 bytes, and usually 900 files of 900 bytes";
    const reports = [
      { state: "succeeded" },
      { state: "warned", suspicious: wrong, made: "aa" },
      { state: "failed", suspicious: "nothing is mounted there", failure: "source.unmounted" },
      { state: "failed", failure: "repository.unreachable" },
      { state: "warned", suspicious: wrong, made: "bb" },
      { state: "succeeded" },
      { state: "failed", suspicious: "/srv: there is nothing there", failure: "source.missing" },
    ] as const;
    const heard: number[] = [];
    for (const [index, report] of reports.entries()) {
      control.pass(1000);
      const sent = reportOf({ id: days[index] ?? "", binding: binding.id, ...report });
      // Said again, it is not news.
      await send(host, sent);
      await send(host, sent);
      heard.push((await notifiedTypes(control)).filter((type) => type === "source.suspicious").length);
    }
    expect(heard).toEqual([0, 1, 1, 1, 1, 1, 2]);
    const [first, second] = (await notifications(control)).filter(({ type }) => type === "source.suspicious");
    expect(first?.data).toMatchObject({
      reason: wrong,
      isStored: true,
      run: { id: days[1] },
      binding: { name: "photos" },
    });
    expect(second?.data).toMatchObject({ isStored: false, run: { id: days[6] }, host: { name: "one" } });
    expect(await notifiedTypes(control)).toContain("run.failed");
  });

  test("an old suspicious backup reported after a newer good one is not notified", async () => {
    const { control, host, binding } = await subscribedHost(database);
    await send(host, reportOf({ id: LATE, binding: binding.id, state: "succeeded" }));
    await send(host, reportOf({ id: EARLY, binding: binding.id, state: "warned", suspicious: "few files" }));
    expect(await notifiedTypes(control)).toEqual([]);
  });

  test("only subscribed channels are notified", async () => {
    const { control, host, binding } = await subscribedHost(database);
    const make = (name: string, more: object) =>
      control.admin.send("POST", "/api/v1/channels", { name, kind: "webhook", url: "http://127.0.0.1/hook", ...more });
    await make("recovered-only", { events: ["run.recovered"] });
    await make("failed-only", { events: ["run.failed"] });
    await make("off", { enabled: false });
    await send(host, reportOf({ id: EARLY, binding: binding.id, state: "failed" }));
    expect(await notifiedTypes(control)).toEqual(["run.failed", "run.failed"]);
  });
});
