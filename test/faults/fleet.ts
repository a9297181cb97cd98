import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { instant, uuidv7 } from "../../shared/ids.ts";
import { type RunReport, ReportsAccepted } from "../../shared/report.ts";
import { Repository } from "../../shared/repository.ts";
import { openClient } from "../support/client.ts";
import type { ControlUnderTest } from "../support/control-under-test.ts";
import { enrolFakeHost, type FakeHost } from "../support/fake-host.ts";
import type { Dice } from "../support/random.ts";
import { eventOf } from "./webhook-receiver.ts";

/**
 * Many hosts with real keys that report runs they never made, and keep each report until it is acknowledged, as an
 * agent does.
 */
export interface Fleet {
  /** Reports run after run until it is stopped; then delivers what is left, however long that takes, and resolves. */
  report(dice: Dice, stop: AbortSignal): Promise<void>;
  /** What the control plane acknowledged last of each run. */
  readonly acknowledged: ReadonlyMap<string, { sequence: number; state: string }>;
  /** Every run that was begun. */
  readonly runs: ReadonlySet<string>;
  /** What somebody has to be told, once each. */
  readonly events: ReadonlySet<string>;
}

/** More turns to bad than that, and the control plane calls it flapping and says so only once. */
const MOST_BAD_TURNS = 3;
const BAD_CHANCE = 0.06;
const PAUSE_MS = 300;
const RETRY_MS = 100;

interface Member {
  readonly host: FakeHost;
  readonly binding: Binding;
  spool: RunReport[];
  isBad: boolean;
  badTurns: number;
}

export async function enrolFleet(control: ControlUnderTest, size: number): Promise<Fleet> {
  const admin = openClient(control.url, () => control.adminToken);
  const nas = { name: "nas", provider: "restic", location: "sftp:backup@nas:/srv", passphrase: { file: "/etc/nas" } };
  const repository = await admin.ask(Repository, "POST", "/api/v1/repositories", nas);
  const members: Member[] = [];
  for (let number = 0; number < size; number++) {
    const host = await enrolFakeHost(control, `host-${number}`);
    const request = { user: "root", sourceDirectories: ["/srv"] };
    const contract = await admin.ask(Contract, "POST", "/api/v1/contracts", { host: host.id, name: "srv", request });
    const binding = await admin.ask(Binding, "POST", "/api/v1/bindings", {
      name: `srv-${number}`,
      contract: contract.id,
      repository: repository.id,
      settings: { enable: false },
    });
    members.push({ host, binding, spool: [], isBad: false, badTurns: 0 });
  }
  const state = {
    acknowledged: new Map<string, { sequence: number; state: string }>(),
    runs: new Set<string>(),
    events: new Set<string>(),
  };
  return {
    ...state,
    report: async (dice, stop) => {
      await Promise.all(members.map((member) => reportOn(member, state, { dice, stop })));
    },
  };
}

type State = Record<"runs" | "events", Set<string>> & {
  acknowledged: Map<string, { sequence: number; state: string }>;
};

async function reportOn(
  member: Member,
  state: State,
  { dice, stop }: { dice: Dice; stop: AbortSignal },
): Promise<void> {
  await delay(dice.below(PAUSE_MS));
  while (!stop.aborted) {
    const begun = begin(member);
    state.runs.add(begun.run.id);
    await deliver(member, state);
    await delay(dice.below(PAUSE_MS));
    finish(member, state, { begun, isBad: turns(member, dice) });
    await deliver(member, state);
  }
  while (member.spool.length > 0) await deliver(member, state);
}

function turns(member: Member, dice: Dice): boolean {
  if (member.isBad) return dice.isLucky(0.5);
  return member.badTurns < MOST_BAD_TURNS && dice.isLucky(BAD_CHANCE);
}

function begin({ binding, spool }: Member): RunReport {
  const now = Date.now();
  const report: RunReport = {
    type: "run",
    sequence: 1,
    log: "",
    suspicious: null,
    engineId: null,
    snapshots: null,
    run: {
      id: uuidv7(now, randomBytes(10)),
      binding: binding.id,
      repository: binding.repository,
      kind: "backup",
      trigger: "schedule",
      state: "running",
      scheduledAt: null,
      queuedAt: null,
      startedAt: instant(now),
      finishedAt: null,
      snapshot: null,
      failure: null,
      warnings: [],
      stats: null,
      plan: null,
      items: null,
    },
  };
  spool.push(report);
  return report;
}

function finish(member: Member, state: State, { begun, isBad }: { begun: RunReport; isBad: boolean }): void {
  const failure = { code: "engine.failed" as const, message: "the disk is on fire", next: "Put it out." };
  const ended: RunReport = {
    ...begun,
    sequence: 2,
    run: {
      ...begun.run,
      state: isBad ? "failed" : "succeeded",
      failure: isBad ? failure : null,
      finishedAt: instant(Date.now()),
      snapshot: isBad ? null : randomBytes(32).toString("hex"),
    },
  };
  member.spool = member.spool.map((report) => (report.run.id === begun.run.id ? ended : report));
  if (isBad !== member.isBad) state.events.add(eventOf(isBad ? "run.failed" : "run.recovered", begun.run.id));
  if (isBad && !member.isBad) member.badTurns++;
  member.isBad = isBad;
}

/** One try: what is not acknowledged stays. */
async function deliver(member: Member, { acknowledged }: State): Promise<void> {
  const reports = member.spool.slice(0, 100);
  if (reports.length === 0) return;
  try {
    const { accepted } = await member.host.client.ask(ReportsAccepted, "POST", "/agent/v1/reports", { reports });
    for (const { run, sequence } of reports)
      if (accepted.includes(run.id)) acknowledged.set(run.id, { sequence, state: run.state });
    member.spool = member.spool.filter(
      (report) => !reports.includes(report) || !accepted.includes(report.run.id) || report.run.finishedAt === null,
    );
  } catch {
    await delay(RETRY_MS);
  }
}
