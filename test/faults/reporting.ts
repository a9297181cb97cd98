import { setTimeout as pause } from "node:timers/promises";
import type { Id } from "../../shared/ids.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { ReportsAccepted, type RunReport } from "../../shared/report.ts";
import type { RunState } from "../../shared/run.ts";
import { reportOf } from "../control/reported.ts";
import { type Client, codeOf, openClient } from "../support/client.ts";
import type { ControlUnderTest } from "../support/control-under-test.ts";
import { declareBinding } from "../support/declare.ts";
import { enrolFakeHost } from "../support/fake-host.ts";
import type { Dice } from "../support/random.ts";
import type { Neighbour } from "../support/neighbour.ts";
import { until } from "../support/until.ts";
import { type Found, found } from "./fault.ts";
import { listenForWebhooks, type Webhooks } from "./webhooks.ts";

/**
 * Hosts that do nothing but report, keeping each report until it is acknowledged, as agents do; and somebody who is
 * told.
 */
export interface ReportingHosts {
  /**
   * Every host reports runs of a new binding, one of which fails, all through what `meanwhile` does; and ends once all
   * is acknowledged.
   */
  report(dice: Dice, meanwhile: () => Promise<void>): Promise<Played>;
  /**
   * Compares what was reported with what is there.
   * @param rows every run that the database has, as `ID STATE`, read past the control plane
   */
  judge(played: Played, rows: () => Promise<readonly string[]>): Promise<Found>;
  end(): Promise<void>;
}

/** What was reported, and the answers that were none. */
export interface Played {
  readonly runs: ReadonlyMap<Id, RunState>;
  /** The run of each binding that turned it bad, and the one that made it good again. */
  readonly turns: readonly { failed: Id; recovered: Id }[];
  /** How often each refusal came: `503 database.unavailable`, or `no answer`. */
  readonly refusals: ReadonlyMap<string, number>;
}

const STATES = ["succeeded", "failed", "succeeded", "succeeded"] as const;
const AGAIN_AFTER_MS = 200;
const HOSTS = 8;

export async function openReportingHosts(control: ControlUnderTest): Promise<ReportingHosts> {
  const webhooks = await listenForWebhooks();
  const admin = openClient(control.url, () => control.adminToken);
  await admin.send("POST", "/api/v1/channels", { name: "ops", kind: "webhook", url: webhooks.url });
  const hosts = await Promise.all(
    Array.from({ length: HOSTS }, (_, index) => enrolFakeHost(control, `reporting-${index}`)),
  );
  let rounds = 0;
  return {
    async report(dice, meanwhile) {
      const round = rounds++;
      const runs = new Map<Id, RunState>();
      const refusals = new Map<string, number>();
      const turns: { failed: Id; recovered: Id }[] = [];
      const work: Promise<void>[] = [];
      for (const host of hosts) {
        const { binding } = await declareBinding(admin, { host: host.name, name: `${host.name}-${round}` });
        const pauses = STATES.map(() => [dice.below(400), dice.below(400)] as const);
        const from = Date.now();
        const ids = STATES.map((_, index) => uuidv7(from + index, crypto.getRandomValues(new Uint8Array(10))));
        STATES.forEach((state, index) => runs.set(ids[index] ?? "", state));
        turns.push({ failed: ids[1] ?? "", recovered: ids[2] ?? "" });
        work.push(reportAll(host.client, { binding: binding.id, ids, pauses, refusals }));
      }
      await Promise.all([...work, meanwhile()]);
      return { runs, turns, refusals };
    },
    judge: (played, rows) => judge(played, rows, webhooks),
    end: () => webhooks.end(),
  };
}

/** The answers that were none, in a line. */
export function refusalsIn({ refusals }: Played): string {
  return [...refusals].map(([said, times]) => `${times} × ${said}`).join(", ");
}

/** What `judge` asks for, of a database file. */
export async function runsIn(neighbour: Pick<Neighbour, "column">): Promise<string[]> {
  return (await neighbour.column("SELECT id || ' ' || state FROM runs")).map(String);
}

interface Script {
  readonly binding: Id;
  readonly ids: readonly Id[];
  readonly pauses: readonly (readonly [number, number])[];
  readonly refusals: Map<string, number>;
}

async function reportAll(client: Client, { binding, ids, pauses, refusals }: Script): Promise<void> {
  const kept = new Map<Id, RunReport>();
  const deliver = async (): Promise<void> => {
    const reports = [...kept.values()];
    const answer = await client.send("POST", "/agent/v1/reports", { reports }).catch(() => null);
    if (answer?.status === 200) {
      for (const id of ReportsAccepted.parse(answer.body).accepted) {
        if (reports.some(({ run }) => run.id === id && run.finishedAt !== null)) kept.delete(id);
      }
      return;
    }
    const said = answer === null ? "no answer" : `${answer.status} ${codeOf(answer.body)}`;
    refusals.set(said, (refusals.get(said) ?? 0) + 1);
    await pause(AGAIN_AFTER_MS);
  };
  for (const [index, id] of ids.entries()) {
    const [first, second] = pauses[index] ?? [0, 0];
    kept.set(id, reportOf({ id, binding, state: "running", sequence: 1 }));
    await deliver();
    await pause(first);
    kept.set(id, reportOf({ id, binding, state: STATES[index] ?? "failed", sequence: 2 }));
    await deliver();
    await pause(second);
  }
  while (kept.size > 0) await deliver();
}

async function judge(played: Played, rows: () => Promise<readonly string[]>, webhooks: Webhooks): Promise<Found> {
  const there = new Set(await rows());
  const said: string[] = [];
  let [lost, doubled, lied] = [0, 0, 0];
  for (const [id, state] of played.runs) {
    if (there.has(`${id} ${state}`)) continue;
    const isThere = [...there].find((row) => row.startsWith(id));
    if (isThere === undefined) lost++;
    else lied++;
    said.push(`run ${id}, acknowledged as ${state}, is ${isThere ?? "nowhere"}`);
  }
  for (const { failed, recovered } of played.turns) {
    for (const [type, run] of [
      ["run.failed", failed],
      ["run.recovered", recovered],
    ] as const) {
      const ids = await until(`the ${type} of ${run}`, () => webhooks.of(type, run)).catch(() => []);
      if (ids.length === 1) continue;
      if (ids.length === 0) lost++;
      else doubled++;
      said.push(`${type} of ${run} was told under ${ids.length} ids`);
    }
  }
  for (const refusal of played.refusals.keys()) {
    if (refusal.startsWith("5") && refusal.endsWith(" database.unavailable")) continue;
    if (refusal === "no answer") continue;
    lied++;
    said.push(`a report was answered ${refusal}`);
  }
  return found({ lost, doubled, lied, said });
}
