import { expect, onTestFinished, test } from "vitest";
import { holdTime } from "../agent/held-time.ts";
import { until } from "../support/until.ts";
import { play } from "./fault.ts";
import { wireBroken } from "./wire-broken.ts";
import { openWiredHost } from "./wired-host.ts";

const HOUR = 3_600_000;
const MINUTE = 60_000;

test("wire-broken: runs continue whatever happens to the network, and each is reported exactly once", async () => {
  const said: string[] = [];
  const tally = await play(wireBroken, { seed: 3, rounds: 1, log: (line) => void said.push(line) });
  expect(tally, said.join("\n")).toMatchObject({ rounds: 1, lost: 0, doubled: 0, lied: 0 });
});

test("two days offline and 25 hours suspended: every run is on time, kept and reported once, with one catch-up", async () => {
  const time = holdTime(Date.parse("2026-11-23T08:10:00.000Z"));
  const host = await openWiredHost({ ...time, calendar: "*-*-* 00/12:00:00" });
  onTestFinished(host.end);
  const cameToBe = (what: string, ask: () => Promise<boolean>): Promise<unknown> =>
    until(`${what}; the agent said:\n${host.said()}`, async () => {
      await time.advance(10_000);
      return await ask();
    });
  const untilNextDue = (): number => 12 * HOUR - (time.clock.now() % (12 * HOUR));
  time.jump(untilNextDue() - MINUTE);
  await cameToBe("a backup online", async () => (await host.runs()).some(({ state }) => state === "succeeded"));
  await host.cheapen();

  host.wire.become({ is: "cut" });
  await cameToBe("the host to be offline", async () => !(await host.isOnline()));
  for (let kept = 1; kept <= 4; kept++) {
    time.jump(untilNextDue() - MINUTE);
    await cameToBe(`backup ${kept} offline`, async () => (await host.undelivered()) === kept);
  }
  time.jump(25 * HOUR);
  await cameToBe("a catch-up", async () => (await host.undelivered()) === 5);

  host.wire.become({ is: "clear" });
  await cameToBe("all to be told", async () => (await host.undelivered()) === 0 && (await host.isOnline()));
  const runs = (await host.runs()).toReversed();
  expect(runs.map(({ state, trigger }) => `${trigger} ${state}`)).toEqual([
    ...Array.from({ length: 5 }, () => "schedule succeeded"),
    "catch-up succeeded",
  ]);
  expect(runs.slice(0, 5).map(({ scheduledAt }) => scheduledAt?.slice(5, 13))).toEqual(
    Array.from({ length: 5 }, (_, index) =>
      new Date(Date.parse("2026-11-23T12:00:00Z") + index * 12 * HOUR).toISOString().slice(5, 13),
    ),
  );
  expect(runs.map(({ snapshot }) => snapshot)).toEqual(await host.snapshots());
});
