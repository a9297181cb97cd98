import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ownProcessRef } from "../../agent/system/process/process-ref.ts";
import { recoverInterrupted } from "../../agent/recover.ts";
import { untilPingsSent } from "../../agent/run/pings.ts";
import { startRecord } from "../../agent/run/record.ts";
import { httpReceiver, listen } from "../node/http-receiver.ts";
import { newId, textOf, type EngineHost } from "./engine-host.ts";
import { openReadyHost } from "./ready-host.ts";

let host: EngineHost;
beforeEach(async () => {
  host = await openReadyHost();
  await host.write("data/file", "one");
});
afterEach(() => host.close());

/** Both kinds of dead man's switch, at one address. */
const both = (origin: string) => [
  { kind: "healthchecks" as const, url: `${origin}/ping/uuid/` },
  { kind: "uptime-kuma" as const, url: `${origin}/api/push/key?status=up&msg=OK&ping=` },
];

async function receiving() {
  const receiver = await httpReceiver();
  const origin = new URL(receiver.url).origin;
  const asked = () => receiver.requests.map(({ method, path }) => `${method} ${path}`);
  return { ...receiver, origin, asked };
}

describe("a binding's dead man's switches", () => {
  test("are sent at a backup's start and success, in that order, whoever started it", async () => {
    const { origin, asked, requests } = await receiving();
    await host.policy({ outgoing: [origin] });
    for (const trigger of ["schedule", "order", "manual"] as const) {
      const outcome = await host.backup(host.work({ settings: { pings: both(origin) } }), { trigger });
      expect(outcome.state).toBe("succeeded");
      await untilPingsSent();
      const [start, ...ends] = asked().splice(0);
      expect(start).toBe(`POST /ping/uuid/start?rid=${outcome.runId}`);
      expect(ends.toSorted()).toEqual([
        expect.stringMatching(/^GET \/api\/push\/key\?status=up&msg=succeeded&ping=\d+$/),
        `POST /ping/uuid?rid=${outcome.runId}`,
      ]);
      expect(requests.find(({ path }) => path.startsWith("/ping/uuid?"))?.body).toBe("succeeded");
      requests.length = 0;
    }
  });

  test("are sent at a failure, with the end of the log and without secrets", async () => {
    const { origin, requests } = await receiving();
    await host.policy({ outgoing: [origin] });
    const passphrase = (await textOf(join(host.paths.secretsDir, host.work().binding.repository))).trim();
    await host.hook("dump", `seq -f 'line %06g of what the hook says' 2000; echo "it is '${passphrase}'"; exit 3`);
    const work = host.work({ before: ["dump"], settings: { pings: both(origin) } });
    expect((await host.backup(work)).state).toBe("failed");
    await untilPingsSent();
    const failed = requests.find(({ path }) => path.startsWith("/ping/uuid/fail?rid="));
    expect(failed?.body).toMatch(/^failed: .*hook "dump"/);
    expect(failed?.body).toContain("line 002000 of what the hook says");
    expect(failed?.body).toContain("it is '***'");
    expect(failed?.body).not.toContain(passphrase);
    expect(Buffer.byteLength(failed?.body ?? "")).toBeLessThanOrEqual(10_000);
    const down = new URL(requests.find(({ method }) => method === "GET")?.path ?? "", origin).searchParams;
    expect([down.get("status"), down.get("msg")]).toEqual(["down", expect.stringMatching(/^failed: /)]);
  });

  test("neither delay a backup nor make it fail: one that hangs, one that is dead, one that refuses", async () => {
    const held = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const hanging = await listen((_request, response) => {
      asked.resolve();
      void held.promise.then(() => response.end());
    });
    const { origin, answer } = await receiving();
    answer(500);
    const dead = "http://127.0.0.1:1";
    await host.policy({ outgoing: [origin, hanging, dead] });
    const pings = [hanging, dead, origin].map((at) => ({ kind: "healthchecks" as const, url: `${at}/x` }));
    const outcome = await host.backup(host.work({ settings: { pings } }));
    expect(outcome).toMatchObject({ state: "succeeded", warnings: [] });
    // It is over while its first ping has still not been answered.
    await asked.promise;
    held.resolve();
    await untilPingsSent();
    expect(host.lines.join("\n")).toMatch(
      /the ping of "files-nas" to http:\/\/127\.0\.0\.1:1 was not sent: .*ECONNREFUSED/,
    );
    expect(host.lines.join("\n")).toContain(`the ping of "files-nas" to ${origin} was answered 500`);
  });

  test("in a private network are pinged only if the host's policy names them or root's own file declares them", async () => {
    const { origin, asked, requests } = await receiving();
    const work = host.work({ settings: { pings: both(origin) } });
    for (const [policy, why] of [
      [{}, "the host's policy has to name its origin"],
      [{ outgoing: "off" }, "outgoing is off"],
      [{ outgoing: ["https://hc-ping.com"] }, "does not let anything be sent to"],
    ] as const) {
      await host.policy(policy);
      expect((await host.backup(work)).state).toBe("succeeded");
      await untilPingsSent();
      expect(host.lines.join("\n")).toContain(why);
    }
    expect(asked()).toEqual([]);

    await host.policy({ outgoing: "off" });
    const [contract] = work.assignment.contracts;
    const declared = { ...work.assignment, contracts: contract === undefined ? [] : [{ ...contract, declared: true }] };
    const file = {
      request: contract?.request,
      settings: {
        passphrase: "/run/passphrase",
        repository: { path: join(host.root, "srv/repository") },
        pings: [both(origin)[0]],
      },
    };
    await mkdir(host.paths.contractsDir, { recursive: true, mode: 0o755 });
    await writeFile(join(host.paths.contractsDir, "files.json"), JSON.stringify(file), { mode: 0o644 });
    expect((await host.backup({ ...work, assignment: declared })).state).toBe("succeeded");
    await untilPingsSent();
    // What the control plane adds to it is not root's word.
    expect(requests.map(({ path }) => path.replace(/\?.*/, ""))).toEqual(["/ping/uuid/start", "/ping/uuid"]);
  });

  test("are sent for a backup whose process was killed, once it is recovered", async () => {
    const { origin, requests } = await receiving();
    await host.policy({ outgoing: [origin] });
    const { assignment, binding } = host.work({ settings: { pings: both(origin) } });
    const of = {
      binding: binding.id,
      repository: binding.repository,
      kind: "backup" as const,
      scheduledAt: null,
    };
    const { id } = await startRecord(host.deps, { ...of, runId: newId(), trigger: "schedule" });
    const [entry] = await host.spool.list();
    await host.spool.write({ ...(entry ?? expect.fail("no entry")), owner: { ...ownProcessRef(), pid: 2 ** 22 + 1 } });
    await recoverInterrupted(host.deps, assignment);
    await untilPingsSent();
    expect(requests.map(({ path }) => path.replace(/&msg=.*/, "")).toSorted()).toEqual([
      "/api/push/key?status=down",
      `/ping/uuid/fail?rid=${id}`,
    ]);
    expect(requests.find(({ method }) => method === "POST")?.body).toMatch(/^interrupted: the agent's process ended/);
  });
});
