import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import * as z from "zod";
import { buildPrograms } from "../support/built.ts";
import { openClient } from "../support/client.ts";
import type { Dice } from "../support/random.ts";
import { until } from "../support/until.ts";
import { type ControlProgram, openControlProgram } from "./control-program.ts";
import { doubled, type Fault, type Found, lied, lost, sum } from "./fault.ts";
import { enrolFleet, type Fleet } from "./fleet.ts";
import { eventOf, startReceiver, type WebhookReceiver } from "./webhook-receiver.ts";

/** kill -9 of the control plane while hosts report to it and it tells of what they report. */
export const controlKilled: Fault = controlKilledUnder(200);

/** @param size how many hosts report at once */
export function controlKilledUnder(size: number): Fault {
  return {
    name: "control-killed",
    rounds: 20,
    async start(log) {
      const directory = await mkdtemp(join(tmpdir(), "holdfast-control-killed-"));
      await mkdir(join(directory, "data"));
      const built = await buildPrograms();
      const receiver = await startReceiver();
      const program = await openControlProgram(built.holdfast, join(directory, "data"));
      const end = async (): Promise<void> => {
        await program.kill();
        await receiver.stop();
        await built.remove();
        await rm(directory, { recursive: true, force: true });
      };
      try {
        await program.start();
        const fleet = await enrolFleet(program, size);
        const events = ["run.failed", "run.recovered"];
        const admin = openClient(program.url, () => program.adminToken);
        await admin.ask(z.unknown(), "POST", "/api/v1/channels", {
          name: "me",
          kind: "webhook",
          url: receiver.url,
          events,
        });
        return {
          round: (dice) => playRound({ program, fleet, receiver, dice }),
          async end() {
            log(`${fleet.acknowledged.size} runs of ${size} hosts, ${fleet.events.size} turns told`);
            await end();
          },
        };
      } catch (error) {
        await end();
        throw error;
      }
    },
  };
}

interface Playing {
  readonly program: ControlProgram;
  readonly fleet: Fleet;
  readonly receiver: WebhookReceiver;
  readonly dice: Dice;
}

async function playRound({ program, fleet, receiver, dice }: Playing): Promise<Found> {
  const stop = new AbortController();
  const reporting = fleet.report(dice, stop.signal);
  await delay(300 + dice.below(2000));
  await program.kill();
  await program.start();
  await delay(dice.below(300));
  stop.abort();
  await reporting;
  const database = new DatabaseSync(program.database, { readOnly: true });
  try {
    await until("every delivery to be made", () => countWaiting(database) === 0, 120);
    return compare(database, { fleet, receiver });
  } finally {
    database.close();
  }
}

function countWaiting(database: DatabaseSync): unknown {
  return database.prepare("select count(*) as waiting from deliveries where state = 'pending'").get()?.["waiting"];
}

const Rows = {
  runs: z.array(z.object({ id: z.string(), sequence: z.int(), state: z.string() })),
  deliveries: z.array(z.object({ id: z.string(), type: z.string(), payload: z.string(), state: z.string() })),
};
const Payload = z.object({ data: z.object({ run: z.object({ id: z.string() }) }) });

/** Of everything that was ever acknowledged, not of this round alone. */
function compare(database: DatabaseSync, { fleet, receiver }: { fleet: Fleet; receiver: WebhookReceiver }): Found {
  const all: Found[] = [];
  const runs = new Map(
    Rows.runs.parse(database.prepare("select id, sequence, state from runs").all()).map((row) => [row.id, row]),
  );
  for (const [id, { sequence, state }] of fleet.acknowledged) {
    const row = runs.get(id);
    if (row === undefined || row.sequence < sequence)
      all.push(lost(`run ${id} was acknowledged as ${state} and is ${row?.state ?? "nowhere"}`));
    else if (row.state !== state) all.push(lied(`run ${id} was acknowledged as ${state} and is ${row.state}`));
  }
  for (const id of runs.keys()) if (!fleet.runs.has(id)) all.push(lied(`run ${id} was never reported`));

  const deliveries = new Map<string, string[]>();
  const listed = Rows.deliveries.parse(database.prepare("select id, type, payload, state from deliveries").all());
  for (const { id, type, payload, state } of listed) {
    const event = eventOf(type, Payload.parse(JSON.parse(payload)).data.run.id);
    deliveries.set(event, [...(deliveries.get(event) ?? []), id]);
    if (state !== "delivered") all.push(lost(`delivery ${id} is ${state}`));
  }
  for (const event of fleet.events) {
    const [ids, heard] = [deliveries.get(event) ?? [], receiver.ids.get(event) ?? new Set()];
    if (ids.length === 0 || heard.size === 0)
      all.push(lost(`${event}: ${ids.length} deliveries, heard ${heard.size} times`));
    if (ids.length > 1 || heard.size > 1)
      all.push(doubled(`${event}: ${ids.length} deliveries under ${heard.size} ids`));
  }
  for (const event of receiver.ids.keys()) if (!fleet.events.has(event)) all.push(lied(`${event} did not happen`));
  const sound = database.prepare("pragma quick_check").get()?.["quick_check"];
  if (sound !== "ok") all.push(lied(`the database is damaged: ${String(sound)}`));
  return sum(all);
}
