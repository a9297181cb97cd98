import { setTimeout as pause } from "node:timers/promises";
import { instant } from "../../shared/ids.ts";
import { isGood, type Run } from "../../shared/run.ts";
import { holdTime } from "../agent/held-time.ts";
import type { Dice } from "../support/random.ts";
import { until } from "../support/until.ts";
import { type Fault, found } from "./fault.ts";
import { openWiredHost } from "./wired-host.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const INTERVAL = 6 * HOUR;
const STEP = 10_000;
/** The retention's two, those of a day until it works again, and one of a catch-up. */
const MOST_LEFT = 2 + DAY / INTERVAL + 1;

/** Whose clock is set, and by how much; or the host sleeps: its clock goes on, and its timers do not. */
interface Jump {
  readonly of: "agent" | "control" | "sleep";
  readonly by: number;
}

/**
 * A real agent and a real control plane whose clocks are set wrong and right again, and a host that sleeps, while
 * restic makes a backup every six hours of held time and removes all but the newest two, once a day.
 */
export const clockJumped: Fault = {
  name: "clock-jumped",
  rounds: 30,
  async start(log) {
    const time = holdTime(Math.floor(Date.now() / INTERVAL) * INTERVAL + HOUR);
    const wrong = { agent: 0, control: 0 };
    const host = await openWiredHost({
      clock: { now: () => time.clock.now() + wrong.agent },
      controlClock: { now: () => time.clock.now() + wrong.control },
      timers: time.timers,
      calendar: "*-*-* 00/6:00:00",
      retention: { keep_last: 2 },
    });
    /** Lets held time pass, step by step, each with what it brings about. */
    const live = async (milliseconds: number): Promise<void> => {
      for (let passed = 0; passed < milliseconds; passed += STEP) {
        let begun = host.seen.size;
        await time.advance(STEP);
        await pause(10);
        for (;;) {
          await until(`the run to end; the agent said:\n${host.said()}`, async () => !(await host.isBusy()));
          if (host.seen.size === begun) break;
          // After a backup comes its retention, a moment later.
          begun = host.seen.size;
          await pause(200);
        }
      }
    };
    const liveUntilNextDue = async (): Promise<void> => {
      time.jump(INTERVAL - (time.clock.now() % INTERVAL) - MINUTE);
      await live(3 * MINUTE);
    };
    /** @returns minutes of held time until the control plane has heard all, and has the host online */
    const untilHeard = async (): Promise<number> => {
      const from = time.clock.now();
      await until(`all to be heard; the agent said:\n${host.said()}`, async () => {
        await live(STEP);
        return (await host.isOnline()) && (await host.undelivered()) === 0;
      });
      return (time.clock.now() - from) / MINUTE;
    };
    try {
      await liveUntilNextDue();
      await untilHeard();
      await host.cheapen();
      await liveUntilNextDue();
      await liveUntilNextDue();
    } catch (error) {
      await host.end();
      throw error;
    }
    return {
      end: host.end,
      async round(dice) {
        const { of, by } = jumpOf(dice);
        const known = new Set((await host.runs()).map(({ id }) => id));
        const kept = await host.snapshots();
        if (of === "sleep") time.jump(by);
        else wrong[of] = by;
        await live(3 * MINUTE);
        const heard = await untilHeard();
        const there = await host.snapshots();
        wrong.agent = 0;
        wrong.control = 0;
        await live(3 * MINUTE);
        await liveUntilNextDue();
        const due = Math.floor(time.clock.now() / INTERVAL) * INTERVAL;
        const heardAgain = await untilHeard();
        const isRight = async (): Promise<boolean> => (await host.snapshots()).length <= MOST_LEFT;
        await until("the retention", isRight, 10).catch(() => undefined);
        const left = await host.snapshots();
        const runs = (await host.runs()).filter(({ id }) => !known.has(id));
        const said = faultsIn(runs, due);
        if (of !== "sleep" && kept.some((snapshot) => !there.includes(snapshot)))
          said.push("a wrong clock removed snapshots");
        if (left.length < 2 || left.length > MOST_LEFT)
          said.push(`${left.length} snapshots are left once the clocks are right`);
        const untold = left.filter(
          (snapshot) => !runs.some((run) => run.snapshot === snapshot) && !kept.includes(snapshot),
        );
        untold.forEach((snapshot) => said.push(`no run tells of snapshot ${snapshot}`));
        const triggers = runs.map(({ trigger }) => trigger).join(", ");
        log(`${of} ${by / HOUR} h: ${triggers}; heard after ${heard.toFixed(1)} and ${heardAgain.toFixed(1)} min`);
        return found({ lost: untold.length, lied: said.length - untold.length, said });
      },
    };
  },
};

/** Of what ran in a round: at most one catch-up, and the next time of the calendar as if nothing had been. */
function faultsIn(runs: readonly Run[], due: number): string[] {
  const said: string[] = [];
  const caughtUp = runs.filter(({ trigger }) => trigger === "catch-up").length;
  const scheduled = runs.filter(({ trigger }) => trigger === "schedule");
  const [only] = scheduled;
  if (caughtUp > 1) said.push(`${caughtUp} catch-ups`);
  if (scheduled.length !== 1) said.push(`${scheduled.length} runs by the schedule`);
  if (only?.scheduledAt !== instant(due)) said.push(`${only?.scheduledAt} ran, and ${instant(due)} was due`);
  for (const { id, state } of runs) if (!isGood(state)) said.push(`run ${id} is ${state}`);
  return said;
}

function jumpOf(dice: Dice): Jump {
  return dice.pick<Jump>([
    { of: "agent", by: HOUR },
    { of: "agent", by: -HOUR },
    { of: "agent", by: DAY },
    { of: "agent", by: -DAY },
    { of: "control", by: HOUR },
    { of: "control", by: -HOUR },
    { of: "control", by: DAY },
    { of: "control", by: -DAY },
    { of: "sleep", by: 7 * HOUR },
    { of: "sleep", by: 3 * DAY },
  ]);
}
