import { expect, test } from "vitest";
import { openQuestions } from "../../control/hub/questions.ts";
import { newSession, handleFrame } from "../../control/hub/session.ts";
import { Binding } from "../../shared/binding.ts";
import { instant, uuidv7 } from "../../shared/ids.ts";
import type { TestControl, TestHost } from "../support/control.ts";
import { subscribedHost, send, notifications, notifiedTypes } from "./subscribed-host.ts";
import { reportOf, runIdAt } from "./reported.ts";
import { passTime, HOUR, MINUTE, openIncidentKinds } from "./sweeps.ts";

/** A backup that runs on a host with a socket, and what the socket says of it. */
async function running(limit = "24h") {
  const all = await subscribedHost();
  const { control, host, binding } = all;
  await control.admin.send("PATCH", `/api/v1/bindings/${binding.id}`, {
    settings: { runTimeLimit: limit, timerConfig: { OnCalendar: "monthly" } },
  });
  const connection = uuidv7(control.deps.clock.now(), new Uint8Array(10));
  const at = instant(control.deps.clock.now());
  await control.deps.db.run(`update hosts set "connectionId" = '${connection}', "connectedAt" = '${at}'`);
  const report = reportOf({ id: runIdAt(at), binding: binding.id, state: "running" });
  await send(host, report);
  const session = newSession(host.id, connection);
  const say = async (progress: object): Promise<void> => {
    const frame = {
      type: "progress",
      run: report.run.id,
      progress: { ...progress, at: instant(control.deps.clock.now()) },
    };
    await handleFrame({ ...control.deps, questions: openQuestions() }, session, JSON.stringify(frame));
  };
  return { ...all, report, say };
}

/** Two minutes at a time, with what the agent tells meanwhile. */
async function reportEveryMinutes(
  { control, host }: { control: TestControl; host: TestHost },
  minutes: number,
  report: () => Promise<void>,
): Promise<void> {
  for (let passed = 0; passed < minutes; passed += 2) {
    await report();
    control.heard.set(host.id, control.deps.clock.now());
    await passTime(control, 2 * MINUTE);
  }
}

test("a run without progress for half an hour is stuck, notified once, and again on progress", async () => {
  const { control, host, binding, report, say } = await running();
  await reportEveryMinutes({ control, host }, 60, () =>
    say({ fraction: 0.1, worked: Math.floor(control.deps.clock.now() / MINUTE) }),
  );
  await reportEveryMinutes({ control, host }, 28, () => say({ fraction: 0.4, bytesDone: 7, worked: 60 }));
  expect(await openIncidentKinds(control)).toEqual([]);
  await reportEveryMinutes({ control, host }, 6, () => say({ fraction: 0.4, bytesDone: 7, worked: 60 }));
  expect(await openIncidentKinds(control)).toEqual(["binding.stuck"]);
  const { health } = await control.admin.ask(Binding, "GET", `/api/v1/bindings/${binding.id}`);
  expect(health).toBe("stuck");
  await reportEveryMinutes({ control, host }, 2, () => say({ fraction: 0.4, bytesDone: 8, worked: 60 }));
  expect(await openIncidentKinds(control)).toEqual([]);
  expect(await notifications(control)).toMatchObject([
    {
      type: "backup.stuck",
      data: {
        binding: { id: binding.id },
        run: { id: report.run.id, kind: "backup" },
        reason: "no progress since 2026-11-23T09:00:00.000Z",
      },
    },
    { type: "backup.recovered", data: { run: { state: "running" } } },
  ]);
});

test("missing progress means nothing without a socket, from an agent that does not count, or of an offline host", async () => {
  const { control, host, say } = await running();
  await reportEveryMinutes({ control, host }, 40, () => say({ fraction: 0.4 }));
  expect(await openIncidentKinds(control)).toEqual([]);
  await say({ fraction: 0.4, worked: 1 });
  await control.deps.db.run(`update hosts set "connectionId" = null, "connectedAt" = null`);
  await passTime(control, HOUR, [host]);
  expect(await openIncidentKinds(control)).toEqual([]);
  await passTime(control, HOUR);
  expect(await openIncidentKinds(control)).toEqual(["host.offline"]);
});

test("a run over its time limit is stuck despite progress; its end closes that, a bad one with its own notification", async () => {
  const { control, host, report } = await running("2h");
  await passTime(control, 2 * HOUR, [host]);
  await passTime(control, HOUR, [host]);
  expect(await openIncidentKinds(control)).toEqual([]);
  await passTime(control, 2 * MINUTE, [host]);
  expect(await openIncidentKinds(control)).toEqual(["binding.stuck"]);
  const failed = {
    ...reportOf({ id: report.run.id, binding: report.run.binding ?? "", state: "failed" }),
    sequence: 2,
  };
  await send(host, failed);
  await passTime(control, 2 * MINUTE, [host]);
  expect(await openIncidentKinds(control)).toEqual(["binding.failing"]);
  expect(await notifiedTypes(control)).toEqual(["backup.stuck", "run.failed"]);
});

test("a late report of success closes it", async () => {
  const { control, host, report } = await running("2h");
  await passTime(control, 4 * HOUR, [host]);
  expect(await openIncidentKinds(control)).toEqual(["binding.stuck"]);
  await send(host, { ...report, sequence: 2, run: { ...report.run, state: "succeeded" } });
  expect(await openIncidentKinds(control)).toEqual([]);
  await passTime(control, 4 * MINUTE, [host]);
  expect(await notifiedTypes(control)).toEqual(["backup.recovered", "backup.stuck"]);
});

test("a hanging run of a paused binding is not monitored", async () => {
  const { control, host, binding } = await running("2h");
  await passTime(control, 4 * HOUR, [host]);
  await control.admin.send("POST", `/api/v1/bindings/${binding.id}/pause`);
  await passTime(control, 4 * MINUTE, [host]);
  expect([await openIncidentKinds(control), await notifiedTypes(control)]).toEqual([[], ["backup.stuck"]]);
});
