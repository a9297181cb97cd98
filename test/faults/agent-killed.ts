import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { ProviderName } from "../../shared/repository.ts";
import type { Dice } from "../support/random.ts";
import type { Fault, Found } from "./fault.ts";
import { type KillableHost, openKillableHost, type Service, tracesOf } from "./killable-host.ts";
import { type Moment, MOMENTS, ON_TIME, whenWritten } from "./moments.ts";
import { realSnapshots } from "./real-repository.ts";
import { verdictOf } from "./verdict.ts";

/** What is killed, and when. */
export interface Turn {
  readonly tool: ProviderName;
  readonly moment: Moment;
}

/** kill -9 of the agent's daemon at every kind of moment, with a real restic and a real borg, which takes its time. */
export const agentKilled: Fault = agentKilledAt("agent-killed", 200, (dice) => ({
  tool: dice.pick(["restic", "restic", "borg"]),
  moment: dice.pick(MOMENTS),
}));

/** The same for a run that nobody asked for: its time must not pass without it. */
export const agentKilledOnTime: Fault = agentKilledAt("agent-killed-on-time", 40, () => ({
  tool: "restic",
  moment: ON_TIME,
}));

/** @param choose the turn of each round */
export function agentKilledAt(name: string, rounds: number, choose: (dice: Dice) => Turn): Fault {
  return {
    name,
    rounds,
    async start(log) {
      const host = await openKillableHost();
      const struck = new Map<string, number>();
      return {
        async round(dice) {
          const { tool, moment } = choose(dice);
          const found = await playRound(host, { moment, service: host.services[tool], dice });
          const which = `${tool} ${moment.name}`;
          struck.set(which, (struck.get(which) ?? 0) + 1);
          return { ...found, said: found.said.map((line) => `killed ${which}: ${line}`) };
        },
        async end() {
          await host.end();
          for (const [which, times] of [...struck].toSorted(([one], [other]) => one.localeCompare(other))) {
            log(`killed ${which}: ${times} times`);
          }
        },
      };
    },
  };
}

interface Playing {
  readonly moment: Moment;
  readonly service: Service;
  readonly dice: Dice;
}

async function playRound(host: KillableHost, { moment, service, dice }: Playing): Promise<Found> {
  const { agent } = host;
  const before = {
    runs: new Set([...host.seen, ...(await host.runs(service)).map(({ id }) => id)]),
    traces: (await tracesOf(service)).length,
    snapshots: new Set(await realSnapshots(host.root, service.provider)),
  };
  const isNew = (run: string): boolean => !before.runs.has(run);
  const text = `letter ${dice.below(1_000_000)}`;
  await writeFile(join(service.source, "letter"), text);

  await killed(host, moment.name, async ({ kill, dead }) => {
    await moment.arm({ host, service, dice, isNew, kill, dead });
    await (moment.isScheduled ? host.schedule(service) : host.order(service));
  });
  if (moment.killsAgain) await killAgain(host, dice);
  agent.start();
  await host.quiet();
  const next = await host.order(service);
  await host.quiet();
  return await verdictOf(host, service, { before, isNew, next, text, moment });
}

const STRUCK_WITHIN_MS = 60_000;

interface Killing {
  readonly kill: () => void;
  /** Aborted when the agent is dead: whoever waits stops waiting. */
  readonly dead: AbortSignal;
}

/** Does what leads to the agent's end, and waits for that. */
async function killed(host: KillableHost, when: string, lead: (killing: Killing) => Promise<void>): Promise<void> {
  const dead = new AbortController();
  let isStruck = false;
  const died = host.agent.ended().then(() => {
    isStruck = true;
    dead.abort();
  });
  const kill = (): void => {
    // Who was told twice must not kill the next one.
    if (!isStruck) void host.agent.kill("SIGKILL");
    isStruck = true;
  };
  await lead({ kill, dead: dead.signal });
  const tooLate = delay(STRUCK_WITHIN_MS, "late", { signal: dead.signal }).catch(() => "dead");
  await Promise.race([died, tooLate]);
  if (!dead.signal.aborted) throw new Error(`in ${STRUCK_WITHIN_MS} ms there was no moment ${when}`);
}

/** Once more, while it ends the run that it was killed in. */
async function killAgain(host: KillableHost, dice: Dice): Promise<void> {
  host.agent.start();
  await killed(host, "while it ends a run", async ({ kill, dead }) => {
    const waitMs = dice.below(800);
    const call = (): void => void delay(waitMs).then(kill);
    whenWritten(host.paths.spoolDir, { name: /\.json$/, call, until: dead });
  });
}
