import { desc } from "drizzle-orm";
import { expect, test } from "vitest";
import { incidents } from "../../control/db/schema/incidents.ts";
import { deliveries } from "../../control/db/schema/notifications.ts";
import type { HostTrouble } from "../../shared/host.ts";
import { FACTS, testControl } from "../support/control.ts";

test("each host trouble opens one incident, closed when it is no longer reported", async () => {
  const control = await testControl();
  const host = await control.enrol("attic");
  const { db } = control.deps;
  const channel = { name: "me", kind: "webhook", url: "https://hooks.example.org/x" };
  expect((await control.admin.send("POST", "/api/v1/channels", channel)).status).toBe(201);
  const spool: HostTrouble = { code: "spool.damaged", subject: "/spool/1.json.unreadable", message: "lost a report" };
  const disk: HostTrouble = { code: "disk.full", subject: "/var/lib/holdfast", message: "no room" };
  const say = async (troubles: HostTrouble[]): Promise<void> => {
    expect((await host.send("PUT", "/agent/v1/facts", { ...FACTS, troubles })).status).toBe(204);
    control.pass(60_000);
  };
  const notified = async () =>
    (await db.select().from(deliveries).orderBy(deliveries.createdAt, deliveries.type)).map(({ payload }) => [
      payload.type,
      payload.data["code"],
    ]);

  await say([spool, disk]);
  await say([spool, disk]);
  await say([disk]);
  const all = await db.select().from(incidents).orderBy(desc(incidents.detail));
  expect(all).toMatchObject([
    { kind: "host.trouble", host: host.id, detail: `spool.damaged ${spool.subject}`, closedAt: expect.any(String) },
    { kind: "host.trouble", host: host.id, detail: `disk.full ${disk.subject}`, closedAt: null },
  ]);
  expect(all[1]?.summary).toBe("attic: no room");
  expect((await notified()).map((words) => words.join(" ")).toSorted()).toEqual([
    "host.trouble disk.full",
    "host.trouble spool.damaged",
    "host.trouble_over spool.damaged",
  ]);

  await say([]);
  await say([disk]);
  expect((await db.select().from(incidents)).filter(({ closedAt }) => closedAt === null)).toHaveLength(1);
  expect(await notified()).toHaveLength(5);
});
