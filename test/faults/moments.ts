import { watch } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";
import type { Dice } from "../support/random.ts";
import type { KillableHost, Service } from "./killable-host.ts";
import type { Passing } from "./gateway.ts";
import { storingEngine } from "./real-repository.ts";

/** A moment at which an agent is killed. Whoever waits for it looks from outside: nothing in the agent knows of it. */
export interface Moment {
  readonly name: string;
  /** Whether a hook may have to run twice: the agent died while it ran, or while another one ran it again. */
  readonly mayRepeatAfter: boolean;
  /** Whether it is killed once more, while it ends what it was killed in. */
  readonly killsAgain: boolean;
  /** Whether the run comes by its schedule; else it is ordered. */
  readonly isScheduled: boolean;
  /** Sees to it that the agent is killed then. Resolves when that is certain to come with the next run. */
  arm(strike: Strike): Promise<void>;
}

export interface Strike {
  readonly host: KillableHost;
  readonly service: Service;
  readonly dice: Dice;
  /** Whether a run is one that this round has begun. */
  readonly isNew: (run: string) => boolean;
  /** Kills the agent, the first time it is called. */
  readonly kill: () => void;
  /** Aborted when the agent is dead: whoever waits stops waiting. */
  readonly dead: AbortSignal;
}

export const MOMENTS: readonly [Moment, ...Moment[]] = [
  moment("before the spool is written", async ({ host, dice, kill, dead }) => {
    // Its memory of the order is the last thing it writes before.
    if (dice.isLucky(0.5)) whenWritten(host.paths.ordersDir, { name: /\.json$/, call: kill, until: dead });
    else
      onPassing(
        host,
        dead,
        ({ path, answered }) => path.endsWith("orders") && (answered ?? "").includes('"ey') && kill(),
      );
  }),
  moment("between the spool and the start", async ({ host, dice, isNew, kill, dead }) => {
    const waitMs = dice.below(25);
    whenWritten(host.paths.spoolDir, {
      name: /^([0-9a-f-]{36})\.json$/,
      isIt: isNew,
      until: dead,
      call: () => void delay(waitMs).then(kill),
    });
  }),
  moment("in a before hook", ({ service, dice }) => writeFile(service.killIn.before, `${waitSeconds(dice)}\n`)),
  moment("in the middle of the backup", async ({ dice, isNew, kill, dead }) => {
    const waitMs = dice.below(500);
    void (async () => {
      while (!dead.aborted && (await storingEngine(isNew)) === undefined) await delay(10);
      await delay(waitMs);
      kill();
    })();
  }),
  moment("in an after hook", ({ service, dice }) => writeFile(service.killIn.after, `${waitSeconds(dice)}\n`), {
    mayRepeatAfter: true,
  }),
  moment("before the report", async ({ host, isNew, kill, dead }) => {
    onPassing(host, dead, (passing) => passing.answered === null && isLastReport(passing, isNew) && kill());
  }),
  moment("between the report and its acknowledgement", async ({ host, isNew, kill, dead }) => {
    onPassing(host, dead, (passing) => passing.answered !== null && isLastReport(passing, isNew) && kill());
  }),
  moment("in the middle of writing an assignment", async ({ host, service, dice, kill, dead }) => {
    const waitMs = dice.below(6);
    whenWritten(dirname(host.paths.assignmentFile), {
      name: /^assignment\.jws/,
      until: dead,
      call: () => (waitMs < 3 ? kill() : void delay(waitMs - 3).then(kill)),
    });
    const settings = { limitUploadKiBs: 1000 + dice.below(1000) };
    await host.admin.ask(z.unknown(), "PATCH", `/api/v1/bindings/${service.binding.id}`, { settings });
  }),
  moment("while it ends an interrupted run", async ({ service }) => writeFile(service.killIn.before, "0\n"), {
    mayRepeatAfter: true,
    killsAgain: true,
  }),
  moment(
    "at any time",
    async ({ dice, kill, dead }) => {
      const waitMs = dice.below(3000);
      void delay(waitMs, undefined, { signal: dead }).then(kill, () => undefined);
    },
    { mayRepeatAfter: true },
  ),
];

/**
 * The first line is on its way to the spool, or there, and the schedule may know that the time is behind it, or not.
 */
export const ON_TIME = moment(
  "when its time has come",
  async ({ host, dice, isNew, kill, dead }) => {
    const waitMs = dice.below(30);
    whenWritten(host.paths.spoolDir, {
      name: /^([0-9a-f-]{36})\.json/,
      isIt: isNew,
      until: dead,
      call: () => (waitMs < 10 ? kill() : void delay(waitMs - 10).then(kill)),
    });
  },
  { isScheduled: true },
);

function moment(
  name: string,
  arm: Moment["arm"],
  { mayRepeatAfter = false, killsAgain = false, isScheduled = false }: Partial<Moment> = {},
): Moment {
  return { name, arm, mayRepeatAfter, killsAgain, isScheduled };
}

/** At once, or a little later. */
function waitSeconds(dice: Dice): string {
  return dice.isLucky(0.5) ? "0" : `0.${dice.below(3)}${dice.below(10)}`;
}

interface Written {
  readonly name: RegExp;
  /** Of the id in the name. */
  readonly isIt?: (id: string) => boolean;
  readonly call: () => void;
  readonly until: AbortSignal;
}

/** Calls back when such a file is made, renamed or written. */
export function whenWritten(directory: string, { name, isIt = () => true, call, until }: Written): void {
  const watcher = watch(directory, { signal: until }, (_event, file) => {
    const match = name.exec(file ?? "");
    if (match !== null && isIt(match[1] ?? "")) call();
  });
  watcher.on("error", () => watcher.close());
}

function onPassing(host: KillableHost, until: AbortSignal, look: (passing: Passing) => unknown): void {
  host.gateway.onPassing = (passing) => void look(passing);
  until.addEventListener("abort", () => void (host.gateway.onPassing = () => undefined), { once: true });
}

const Posted = z.object({
  reports: z.array(
    z.object({ run: z.object({ id: z.string(), kind: z.string(), finishedAt: z.string().nullable() }).optional() }),
  ),
});

/** Whether a request says how one of these runs has ended. */
function isLastReport({ method, path, asked }: Passing, isNew: (run: string) => boolean): boolean {
  if (method !== "POST" || !path.endsWith("/reports")) return false;
  const { reports } = Posted.parse(JSON.parse(asked));
  return reports.some(({ run }) => run !== undefined && run.finishedAt !== null && isNew(run.id));
}
