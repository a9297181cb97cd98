import { setTimeout as pause } from "node:timers/promises";
import { realTimers, type Timers } from "../../agent/system/timers.ts";
import { isGood, isOver } from "../../shared/run.ts";
import type { Dice } from "../support/random.ts";
import { until } from "../support/until.ts";
import type { Weather } from "../support/wire.ts";
import { type Fault, type Found, found } from "./fault.ts";
import { openWiredHost, type WiredHost } from "./wired-host.ts";

/** The agent's own waits pass this much faster, so that a round sees many of them. */
const HASTE = 20;
const EVERY_SECONDS = 3;
/** The waits of at least 0.5, 1, 2, 4, 8 and 16 s leave no room for more in a minute of the agent's time. */
const SOCKETS_A_MINUTE = 8;

/**
 * How many snapshots, and runs that began, a round looks back on; and how many that are over, as more are while it
 * looks.
 */
const NEWEST = 30;
const NEWEST_OVER = 3 * NEWEST;

/**
 * A real agent whose wire to a real control plane is bad in every way, while restic makes a backup every few seconds.
 */
export const wireBroken: Fault = {
  name: "wire-broken",
  rounds: 40,
  async start(log) {
    const host = await openWiredHost({
      clock: Date,
      timers: hastily(realTimers),
      calendar: `*-*-* *:*:00/${EVERY_SECONDS}`,
    });
    await until(`the first backup; the agent said:\n${host.said()}`, async () =>
      (await host.runs()).some(({ state }) => isGood(state)),
    );
    await host.cheapen();
    return {
      end: host.end,
      async round(dice) {
        const weathers = [weatherOf(dice), weatherOf(dice)];
        const [from, begunBefore, askedBefore] = [performance.now(), host.seen.size, host.wire.socketsAskedFor.length];
        for (const weather of weathers) {
          host.wire.become(weather);
          await pause(2500 + dice.below(3000));
        }
        const minutes = ((performance.now() - from) * HASTE) / 60_000;
        const asked = host.wire.socketsAskedFor.length - askedBefore;
        const begun = host.seen.size - begunBefore;
        host.wire.become({ is: "clear" });
        const said: string[] = [];
        if (begun === 0 && !(await host.isBusy())) said.push("no run began meanwhile, and none goes on");
        if (asked > SOCKETS_A_MINUTE * Math.ceil(minutes)) said.push(`${asked} sockets in ${minutes} minutes`);
        log(`${JSON.stringify(weathers)}: ${begun} runs, ${asked} sockets asked for in ${minutes.toFixed(1)} minutes`);
        return await judge(host, said);
      },
    };
  },
};

function hastily(timers: Timers): Timers {
  return { after: (milliseconds, then) => timers.after(milliseconds / HASTE, then) };
}

function weatherOf(dice: Dice): Weather {
  const side = dice.pick<"asked" | "answered">(["asked", "answered"]);
  return dice.pick<Weather>([
    { is: "cut" },
    { is: "half-open" },
    { is: "slow", bytesPerSecond: 500 + dice.below(20_000) },
    { is: "impatient", idleMs: dice.below(1000) },
    { is: "cutting", side, afterBytes: dice.below(side === "asked" ? 3000 : 1000) },
    { is: "reordering" },
  ]);
}

/**
 * Waits until the host is there again and has said all that it has begun so far, and compares it with the repository.
 */
async function judge(host: WiredHost, said: string[]): Promise<Found> {
  const stored = (await host.snapshots()).slice(-NEWEST);
  const begun = [...host.seen].slice(-NEWEST);
  const wrong = (what: string): void => void said.push(what);
  await until("the host to be online again", () => host.isOnline()).catch((error: unknown) => wrong(String(error)));
  const unsaid = async (): Promise<string[]> => {
    const over = new Set((await host.runs()).filter(({ state }) => isOver(state)).map(({ id }) => id));
    return begun.filter((id) => !over.has(id));
  };
  await until("every run to be reported", async () => (await unsaid()).length === 0).catch(() => undefined);
  const lied = said.length;
  const lost = await unsaid();
  lost.forEach((id) => wrong(`run ${id} was never reported`));

  const runs = (await host.runs()).filter(({ state }) => isOver(state)).slice(0, NEWEST_OVER);
  const reported = runs.filter(({ state }) => isGood(state)).map(({ snapshot }) => snapshot ?? "none");
  const there = new Set(await host.snapshots());
  const unreported = stored.filter((snapshot) => !reported.includes(snapshot));
  unreported.forEach((snapshot) => wrong(`no run tells of snapshot ${snapshot}`));
  const invented = reported.filter((snapshot) => !there.has(snapshot));
  invented.forEach((snapshot) => wrong(`a run tells of snapshot ${snapshot}, which is not there`));
  const times = runs.filter(({ trigger }) => trigger !== "manual").map(({ scheduledAt }) => scheduledAt ?? "none");
  const twice = [...reported, ...times].filter((one, at, all) => all.indexOf(one) !== at);
  twice.forEach((one) => wrong(`${one} is there twice`));
  return found({ lost: lost.length + unreported.length, doubled: twice.length, lied: lied + invented.length, said });
}
