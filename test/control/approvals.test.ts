import { sql } from "drizzle-orm";
import { expect, test } from "vitest";
import { approvals } from "../../control/db/schema/hosts.ts";
import { incidents } from "../../control/db/schema/incidents.ts";
import { deliveries } from "../../control/db/schema/notifications.ts";
import { page } from "../../shared/api.ts";
import { Approval, type HostApproval } from "../../shared/approval.ts";
import { FACTS, testControl, type TestControl, type TestHost } from "../support/control.ts";

const wait = (digit: string, at = "2026-11-23T08:00:00.000Z"): HostApproval => ({
  key: digit.repeat(16),
  kind: "repository",
  summary: `repository ${digit} at rest:https://nas.example/${digit}`,
  bindings: ["photos"],
  since: at,
});

async function report(host: TestHost, waits: HostApproval[]): Promise<void> {
  const { status } = await host.send("PUT", "/agent/v1/facts", { ...FACTS, level: "guarded", approvals: waits });
  expect(status).toBe(204);
}

const list = ({ admin }: TestControl, query = "") => admin.ask(page(Approval), "GET", `/api/v1/approvals${query}`);

test("what waits for root is listed newest first, with the command, and is gone when the host says so", async () => {
  const control = await testControl();
  const [nas, attic] = [await control.enrol("nas"), await control.enrol("attic")];
  await report(nas, [wait("1"), wait("2", "2026-11-23T09:00:00.000Z")]);
  await report(attic, [wait("1", "2026-11-23T08:30:00.000Z")]);
  const all = await list(control);
  expect(all.items.map(({ hostName, key }) => `${hostName} ${key[0]}`)).toEqual(["nas 2", "attic 1", "nas 1"]);
  expect(all.items[1]).toEqual({
    ...wait("1", "2026-11-23T08:30:00.000Z"),
    id: all.items[1]?.id,
    host: attic.id,
    hostName: "attic",
    command: `holdfast-agent approve ${"1".repeat(16)}`,
  });
  expect((await list(control, `?host=${attic.id}`)).items).toEqual([all.items[1]]);
  const first = await list(control, "?limit=2");
  expect(first.items).toEqual(all.items.slice(0, 2));
  expect((await list(control, `?limit=2&cursor=${first.next}`)).items).toEqual(all.items.slice(2));

  // One that still waits keeps its id; one that root approved is gone.
  await report(nas, [wait("1")]);
  expect((await list(control, `?host=${nas.id}`)).items).toEqual([all.items[2]]);
  await report(nas, []);
  expect((await list(control)).items.map(({ hostName }) => hostName)).toEqual(["attic"]);
  expect(await (await control.withScope("read")).send("GET", "/api/v1/approvals")).toMatchObject({ status: 200 });
});

test("one incident per host while anything waits, notified once when it begins and once when it is over", async () => {
  const control = await testControl();
  const host = await control.enrol("nas");
  const { db } = control.deps;
  const channel = { name: "me", kind: "webhook", url: "https://hooks.example.org/x" };
  expect((await control.admin.send("POST", "/api/v1/channels", channel)).status).toBe(201);
  const woken = control.wakes();
  await report(host, []);
  expect(control.wakes()).toBe(woken);
  for (const waits of [[wait("1"), wait("2")], [wait("1"), wait("2"), wait("3")], [wait("3")], []]) {
    await report(host, waits);
    control.pass(60_000);
  }
  expect(await db.select().from(incidents)).toMatchObject([
    {
      kind: "host.approval",
      host: host.id,
      summary: `host "nas" waits for root: ${wait("1").summary}, and 1 more`,
      closedAt: "2026-11-23T08:03:00.000Z",
    },
  ]);
  const sent = (await db.select().from(deliveries).orderBy(deliveries.createdAt)).map(({ payload }) => payload);
  expect(sent.map(({ type }) => type)).toEqual(["host.approval_needed", "host.approval_given"]);
  expect(sent[0]?.data).toMatchObject({
    host: { name: "nas" },
    items: [{ key: wait("1").key }, { key: wait("2").key }],
  });
  expect(control.wakes()).toBe(woken + 2);
});

test("a host that is revoked or deleted asks nothing of root any more", async () => {
  const control = await testControl();
  const [nas, attic] = [await control.enrol("nas"), await control.enrol("attic")];
  await report(nas, [wait("1")]);
  await report(attic, [wait("1")]);
  await control.admin.send("PATCH", `/api/v1/hosts/${nas.id}`, { revoked: true });
  expect((await list(control)).items.map(({ hostName }) => hostName)).toEqual(["attic"]);
  expect(await control.admin.send("DELETE", `/api/v1/hosts/${attic.id}`)).toMatchObject({ status: 204 });
  expect(await control.deps.db.select().from(approvals)).toEqual([]);
  const open = await control.deps.db
    .select()
    .from(incidents)
    .where(sql`"closedAt" is null`);
  expect(open).toEqual([]);
});

test("a host says each thing once, and at most so many", async () => {
  const control = await testControl();
  const host = await control.enrol("nas");
  await report(host, [wait("1"), { ...wait("1"), summary: "again" }]);
  expect((await list(control)).items).toMatchObject([{ summary: "again" }]);
  const many = Array.from({ length: 201 }, (_, index) => ({ ...wait("1"), key: index.toString(16).padStart(16, "0") }));
  expect((await host.send("PUT", "/agent/v1/facts", { ...FACTS, approvals: many })).status).toBe(400);
  await report(host, many.slice(0, 200));
  expect((await list(control, "?limit=500")).items).toHaveLength(200);
});

test("lists and reports read approvals by index", async () => {
  const control = await testControl();
  const plans = [
    sql`select * from ${approvals} where ${approvals.host} = 'x' order by ${approvals.id} desc limit 51`,
    sql`delete from ${approvals} where ${approvals.host} = 'x' and ${approvals.key} not in (select 'k')`,
    sql`select * from ${approvals} where ${approvals.id} < 'x' order by ${approvals.id} desc limit 51`,
  ];
  for (const query of plans) {
    const steps = await control.deps.db.all<{ detail: string }>(sql`explain query plan ${query}`);
    const detail = steps.map((step) => step.detail).join("; ");
    expect(detail).toMatch(/SEARCH approvals USING (COVERING )?INDEX/);
    expect(detail).not.toMatch(/TEMP B-TREE/);
  }
});
