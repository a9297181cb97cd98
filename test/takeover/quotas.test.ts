import { getRequestListener } from "@hono/node-server";
import { eq } from "drizzle-orm";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { enroll } from "../../agent/cli/enroll.ts";
import { openApi } from "../../agent/link/api.ts";
import { loadOrCreateIdentity } from "../../agent/link/identity.ts";
import { startReporter } from "../../agent/link/reporter.ts";
import { openSpool } from "../../agent/state/spool.ts";
import { hosts } from "../../control/db/schema/hosts.ts";
import { incidents } from "../../control/db/schema/incidents.ts";
import { runs } from "../../control/db/schema/runs.ts";
import { QUOTA_BYTES, QUOTA_BYTES_PER_HOUR } from "../../control/domain/reports/quota.ts";
import { tick } from "../../control/tick.ts";
import { EnrollmentCreated } from "../../shared/host.ts";
import { Repository } from "../../shared/repository.ts";
import { entryOf } from "../agent/entry.ts";
import { holdTime } from "../agent/held-time.ts";
import { scratchRoot } from "../agent/scratch.ts";
import { openAssignment } from "../control/assigned.ts";
import { declare } from "../control/declared.ts";
import { reportOf, runIdAt } from "../control/reported.ts";
import { EARLY, LATE, notifiedTypes, send, subscribedHost } from "../control/subscribed-host.ts";
import type { TestControl, TestHost } from "../support/control.ts";
import { until } from "../support/until.ts";

// Who has one host's key fills no disk, and says nothing of what other hosts keep.

const LOG = "x".repeat(60_000);

/** A POST of invented runs with long logs. @returns the status, and how long to wait */
async function invent(host: TestHost, binding: string, count = 40) {
  const id = () => runIdAt("2026-11-23T07:00:00.000Z");
  const reports = Array.from({ length: count }, () => reportOf({ id: id(), binding, state: "succeeded", log: LOG }));
  const { status, headers } = await host.send("POST", "/agent/v1/reports", { reports });
  return { status, retryAfter: Number(headers.get("retry-after") ?? 0) };
}

/** As if the host had reported so much already. */
function setReported({ deps }: TestControl, host: { id: string }, bytes: number) {
  const reportedSince = new Date(deps.clock.now()).toISOString();
  return deps.db.update(hosts).set({ reportedBytes: bytes, reportedSince }).where(eq(hosts.id, host.id));
}

test("invented runs with long logs are refused when they are more than a host may report, and an incident opens", async () => {
  const { control, host, binding } = await subscribedHost();
  const room = 5_000_000;
  await setReported(control, host, QUOTA_BYTES - room);
  let taken = 0;
  let answer = await invent(host, binding.id);
  for (; answer.status === 200; answer = await invent(host, binding.id)) taken++;
  expect(answer.status).toBe(429);
  // One POST more than the quota, at most.
  expect(taken * 40 * LOG.length).toBeLessThan(room + 40 * LOG.length);
  expect(taken * 40 * LOG.length).toBeGreaterThan(room / 2);
  expect(answer.retryAfter).toBeGreaterThan(60);
  await invent(host, binding.id, 1);
  expect(await notifiedTypes(control)).toEqual(["host.quota_exceeded"]);

  // Another host reports as before.
  const other = await control.enrol("two");
  const theirs = await declare(control, other, "videos");
  expect(await send(other, reportOf({ id: EARLY, binding: theirs.binding.id, state: "succeeded" }))).toEqual([EARLY]);

  // From then on so much an hour, whatever it does.
  control.pass(600_000);
  let later = 0;
  while ((await invent(host, binding.id, 10)).status === 200) later++;
  expect(later * 10 * LOG.length).toBeLessThan(QUOTA_BYTES_PER_HOUR / 6 + 10 * LOG.length);
  expect(await notifiedTypes(control)).toEqual(["host.quota_exceeded"]);
});

test("the incident closes when half of the quota is free again, not between two waves", async () => {
  const { control, host, binding } = await subscribedHost();
  await setReported(control, host, QUOTA_BYTES);
  expect((await invent(host, binding.id, 1)).status).toBe(429);
  control.pass(3_600_000);
  await tick({ ...control.deps, post: async () => ({ status: 200 }) });
  expect((await control.deps.db.select().from(incidents))[0]).toMatchObject({ kind: "host.quota", closedAt: null });
  control.pass(3 * 3_600_000);
  await tick({ ...control.deps, post: async () => ({ status: 200 }) });
  const ofQuota = (await notifiedTypes(control)).filter((type) => type.startsWith("host.quota"));
  expect(ofQuota).toEqual(["host.quota_exceeded", "host.quota_kept"]);
});

test("what changes nothing costs no quota, and each report costs at least its row", async () => {
  const { control, host, binding } = await subscribedHost();
  const report = reportOf({ id: EARLY, binding: binding.id, state: "succeeded" });
  const counted = async () => (await control.deps.db.select().from(hosts))[0]?.reportedBytes ?? 0;
  await send(host, report);
  const once = await counted();
  expect(once).toBeGreaterThan(1024);
  for (let time = 0; time < 3; time++) await send(host, report);
  expect(await counted()).toBe(once);
});

test("a host that was offline for weeks reports all of it: it waits as long as it is told, and loses nothing", async () => {
  const { control } = await subscribedHost();
  const listener = getRequestListener((request) => control.app.fetch(request));
  const server = createServer((incoming, outgoing) => void listener(incoming, outgoing));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { paths } = await scratchRoot();
  const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
  const { token } = await control.admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "offline" });
  const agent = { paths, clock: control.deps.clock, random, log: () => undefined };
  const { config } = await enroll(agent, { url, token });
  const spool = openSpool(paths);
  const backlog = Array.from({ length: 80 }, () => entryOf("succeeded", 2, undefined, LOG));
  for (const entry of backlog) await spool.write(entry);
  await setReported(control, { id: config.host }, QUOTA_BYTES - 1_000_000);

  const time = holdTime();
  const lines: string[] = [];
  const reporter = startReporter({
    spool,
    api: openApi({ ...agent, config, identity: await loadOrCreateIdentity(paths) }),
    log: (line) => void lines.push(line),
    onAccepted: async () => undefined,
    timers: time.timers,
    random: () => 0.5,
  });
  const stored = async () => (await control.deps.db.select({ id: runs.id }).from(runs)).length;
  const waits: number[] = [];
  const settled = () => until("the reporter to wait", async () => (time.pending().length > 0 ? true : null));
  await settled();
  for (; (await spool.list()).length > 0; await settled()) {
    const [wait = 0] = time.pending();
    waits.push(wait);
    // New reports wake it: it keeps to what it was told.
    const before = await stored();
    reporter.wake();
    await setImmediate();
    expect(time.pending()).toEqual([wait]);
    expect(await stored()).toBe(before);
    control.pass(wait);
    await time.advance(wait);
  }
  await reporter.stop();
  expect(await stored()).toBe(backlog.length);
  expect(waits.length).toBeGreaterThan(1);
  expect(Math.min(...waits)).toBeGreaterThan(60_000);
  expect(lines).toEqual([expect.stringContaining("reports are kept until they can be delivered")]);
});

test("of a shared repository, only the host that maintains it says what its engine id is", async () => {
  const { control, host } = await subscribedHost();
  const other = await control.enrol("two");
  const shared = await control.admin.ask(Repository, "POST", "/api/v1/repositories", {
    name: "shared",
    provider: "restic",
    location: "rest:https://nas.example/shared",
    passphrase: { file: "/etc/passphrase" },
  });
  const bind = async (who: TestHost, name: string) => {
    const { contract } = await declare(control, who, name);
    const { body } = await control.admin.send("POST", "/api/v1/bindings", {
      contract: contract.id,
      repository: shared.id,
    });
    return body as { id: string };
  };
  const [mine, theirs] = [await bind(host, "mine"), await bind(other, "theirs")];
  const engineId = async (who: TestHost) =>
    (await openAssignment(who)).repositories.find(({ id }) => id === shared.id)?.engineId;

  // The second host is the first to speak, and the first is not told that its own repository was swapped.
  await send(other, reportOf({ id: EARLY, binding: theirs.id, state: "succeeded", engineId: "poison" }));
  expect([await engineId(host), await engineId(other)]).toEqual([null, null]);
  await send(host, reportOf({ id: LATE, binding: mine.id, state: "succeeded", engineId: "true" }));
  expect([await engineId(host), await engineId(other)]).toEqual(["true", "true"]);
  await send(
    other,
    reportOf({ id: runIdAt("2026-11-22T01:00:00.000Z"), binding: theirs.id, state: "succeeded", engineId: "poison" }),
  );
  expect([await engineId(host), await engineId(other)]).toEqual(["true", "true"]);
  // Nor does a host that isn't bound to it.
  const thief = await control.enrol("thief");
  expect(
    await send(
      thief,
      reportOf({ id: runIdAt("2026-11-22T02:00:00.000Z"), binding: mine.id, state: "succeeded", engineId: "poison" }),
    ),
  ).toEqual([]);
});
