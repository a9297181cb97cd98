import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import * as z from "zod";
import { page } from "../../shared/api.ts";
import { openDatabase } from "../../control/runtime/node/database.ts";
import { ChannelCreated } from "../../shared/channel.ts";
import { Delivery } from "../../shared/event.ts";
import { Host } from "../../shared/host.ts";
import { instant } from "../../shared/ids.ts";
import { Incident } from "../../shared/incident.ts";
import { agentPullSuite } from "../suites/agent-pull.suite.ts";
import { badInputSuite } from "../suites/bad-input.suite.ts";
import { declaredSuite } from "../suites/declared.suite.ts";
import { hubSuite } from "../suites/hub.suite.ts";
import { outgoingSuite } from "../suites/outgoing.suite.ts";
import { routesSuite } from "../suites/routes.suite.ts";
import { openClient } from "../support/client.ts";
import { controlForThisFile } from "../support/control-under-test.ts";
import { declareBinding } from "../support/declare.ts";
import { enrolFakeHost } from "../support/fake-host.ts";
import { freePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";
import { startWorker } from "../support/worker.ts";

const control = controlForThisFile(startWorker);
routesSuite(control);
badInputSuite(control);
outgoingSuite(control);
hubSuite(control);
declaredSuite(control);
agentPullSuite(control);

describe("only on Workers", () => {
  const admin = openClient(
    () => control().url,
    () => control().adminToken,
  );

  test("it has the version of package.json", async () => {
    const Versioned = z.object({ version: z.string() });
    const manifest = Versioned.parse(
      JSON.parse(await readFile(join(import.meta.dirname, "../../package.json"), "utf8")),
    );
    const { info } = await admin.ask(z.object({ info: Versioned }), "GET", "/api/v1/openapi.json");
    expect(info).toEqual({ version: manifest.version });
  });

  test("the cron trigger sweeps, and pings the dead man's switch", async () => {
    await control().tick();
    await until("the heartbeat", () => control().heartbeats.length > 0);
    await control().tick();
    expect(control().heartbeats).toEqual(["GET /ping"]);
    expect((await fetch(`${control().url}/healthz`)).status).toBe(200);
  });

  test("the cron trigger retries failed deliveries", async () => {
    const url = `http://127.0.0.1:${await freePort()}/hook`;
    const channel = await admin.ask(ChannelCreated, "POST", "/api/v1/channels", { name: "cron", kind: "webhook", url });
    await admin.ask(z.unknown(), "POST", `/api/v1/channels/${channel.id}/test`);
    const triedTimes = (times: number, tick: () => Promise<void>): Promise<z.infer<typeof Delivery>> =>
      until(`attempt ${times}`, async () => {
        await tick();
        const { items } = await admin.ask(page(Delivery), "GET", `/api/v1/deliveries?channel=${channel.id}`);
        return items.find((delivery) => delivery.attempts === times);
      });
    const first = await triedTimes(1, async () => undefined);
    const second = await triedTimes(2, control().tick);
    expect(second.id).toBe(first.id);
    expect(Date.parse(second.nextAttemptAt ?? "")).toBeGreaterThan(Date.parse(first.nextAttemptAt ?? ""));
  });

  test("the last ping of a socket is checked before its host is offline; without a socket it is offline", async () => {
    const there = await enrolFakeHost(control(), "there");
    const gone = await enrolFakeHost(control(), "gone");
    const socket = await there.connect();
    const db = openDatabase(control().databaseUrl);
    onTestFinished(() => db.$client.close());
    const at = (minutesAgo: number): string => instant(Date.now() - minutesAgo * 60_000);
    await db.run(`update hosts set "lastSeenAt" = '${at(40)}' where name in ('there', 'gone')`);
    await db.run(`insert or replace into vitals (name, at) values ('listening', '${at(60)}'), ('watch', '${at(0)}')`);
    await control().tick();
    const { items } = await until("the one that is gone to be told", async () => {
      const open = await admin.ask(page(Incident), "GET", "/api/v1/incidents?kind=host.offline&state=open");
      return open.items.length > 0 && open;
    });
    expect(items.map(({ host }) => host)).toEqual([gone.id]);
    const { online, lastSeenAt } = await admin.ask(Host, "GET", `/api/v1/hosts/${there.id}`);
    expect(online).toBe(true);
    expect(Date.now() - Date.parse(lastSeenAt ?? "")).toBeLessThan(5 * 60_000);
    socket.close();
    await socket.closed;
  });

  test("a socket survives the eviction of its object, which still knows its host", async () => {
    const host = await enrolFakeHost(control(), "sleeper");
    const { binding } = await declareBinding(admin, { host: host.name, name: "sleeper" });
    const socket = await host.connect();
    // Idle objects are evicted after ten seconds; nothing tells when.
    await pause(13_000);

    await admin.ask(z.unknown(), "POST", `/api/v1/bindings/${binding.id}/pause`);
    expect(await socket.next()).toEqual({ type: "poke", pull: "assignment" });
    await pause(13_000);
    socket.close();
    expect((await socket.closed).code).toBe(1000);
    await until(
      "the host to be offline",
      async () => !(await admin.ask(Host, "GET", `/api/v1/hosts/${host.id}`)).online,
    );
  });
});
