import type { HostApproval, Level } from "../../shared/approval.ts";
import type { AssignedBinding } from "../../shared/assignment.ts";
import type { DeclarationFault } from "../../shared/declaration.ts";
import { instant } from "../../shared/ids.ts";
import type { Instant } from "../../shared/ids.ts";
import { nextExpectedAfter } from "../../shared/lateness.ts";
import { type Result, resultOf } from "../../shared/result.ts";
import { isOver } from "../../shared/run.ts";
import { loadInForce } from "../in-force/in-force.ts";
import { readInstance } from "../link/instance.ts";
import { EXIT } from "../../shared/node/arguments.ts";
import type { CliDeps } from "./deps.ts";
import { readConfig, type Paths } from "../config.ts";
import { summarizeDeclared } from "../declared/contract-files.ts";
import { readDaemonState, type DaemonState } from "../daemon/claim.ts";
import { hostZone } from "../system/zone.ts";
import { findMissingResults } from "../daemon/scripts.ts";
import { readRecipient } from "../policy/age-key.ts";
import { loadPolicy } from "../policy/policy.ts";
import { readWaiting } from "../policy/waiting.ts";
import { readLastRun } from "../state/last-run.ts";
import { readNewestGood } from "../state/good-snapshot.ts";
import { clockSkewFault } from "../run/clock-skew.ts";
import { scheduledSince, nextDueAt } from "../daemon/scheduler.ts";
import { openSpool } from "../state/spool.ts";
import { upkeepLines, type UpkeepStatus, upkeepStatus } from "./status-upkeep.ts";
import type { Verb } from "./verb.ts";
import { VERSION } from "../version.ts";

interface Status {
  version: string;
  enrolled: { host: string; name: string; url: string } | null;
  daemon: { pid: number; socket: "open" | "closed"; since: Instant; clockOffsetMs: number } | null;
  /** What secrets for this host are sealed to; null: none yet, or its key can't be used. */
  recipient: string | null;
  /** The newest process of its daemon, as the control plane sees it; null: none ran yet. */
  instance: string | null;
  revision: number | null;
  bindings: {
    id: string;
    name: string;
    state: "paused" | "off" | "on";
    running: boolean;
    nextDueAt: Instant | null;
    /** What the next backup waits for when its time is not known yet; null: it is known, or there is none. */
    nextAfter: "run" | "boot" | null;
    /** When the binding's newest good backup on this host began. */
    lastGoodAt: Instant | null;
    /**
     * When the binding becomes late unless a good backup comes first; null when none is expected, or that is not known.
     */
    lateAt: Instant | null;
    result: Result;
  }[];
  /** Prunes and checks of the repositories this host maintains. */
  upkeep: UpkeepStatus[];
  /** Which result files are missing, and why. */
  missingResults: string[];
  undelivered: number;
  /** What waits for root, and how far the control plane is trusted. */
  approvals: HostApproval[];
  level: Level;
  /** Of contracts.d: how many files are in force as they are written, and why the others are not. */
  contracts: { declared: number; faults: DeclarationFault[] };
}

/** Prints the host's status from local files only. */
export const status: Verb = {
  name: "status",
  help: { usage: "status [--json]", summary: "what this host does, and when next" },
  takes: { flags: ["json"] },
  async run(deps, given) {
    const found = await statusOf(deps);
    const text = given.flag("json") ? JSON.stringify(found, null, 2) : linesOf(found, deps.clock.now()).join("\n");
    deps.out(`${text}\n`);
    if (found.enrolled === null) return EXIT.failed;
    return found.daemon === null || found.contracts.faults.length > 0 ? EXIT.warned : EXIT.done;
  },
};

async function statusOf(deps: CliDeps): Promise<Status> {
  const config = await readConfig(deps.paths);
  const daemon = await readDaemonState(deps.paths);
  const assignment = config === null ? null : await loadInForce({ ...deps, config });
  const entries = config === null ? [] : await openSpool(deps.paths).list();
  const running = new Set(
    entries.flatMap(({ report }) => (report.type === "run" && !isOver(report.run.state) ? [report.run.binding] : [])),
  );
  const now = { now: deps.clock.now(), zone: hostZone() };
  const bindings: Status["bindings"] = [];
  for (const binding of assignment?.bindings ?? []) {
    const dueAt = await nextDueAt(deps.paths, { kind: "backup", binding }, now);
    bindings.push({
      id: binding.id,
      name: binding.name,
      state: binding.paused ? "paused" : binding.settings.enable ? "on" : "off",
      running: running.has(binding.id),
      nextDueAt: dueAt === null ? null : instant(dueAt),
      nextAfter: dueAt === null ? nextAfter(binding, running.has(binding.id)) : null,
      ...(await lastGoodOf(deps.paths, binding, now.zone)),
      result: resultOf(binding.name),
    });
  }
  return {
    version: VERSION,
    enrolled: config === null ? null : { host: config.host, name: config.name, url: config.url },
    daemon: daemon === null ? null : daemonOf(daemon),
    instance: (await readInstance(deps.paths))?.id ?? null,
    recipient: await readRecipient(deps.paths),
    revision: assignment?.revision ?? null,
    bindings,
    upkeep: await upkeepStatus(deps.paths, assignment, now),
    contracts: await summarizeDeclared(deps.paths),
    approvals: await readWaiting(deps),
    level: (await loadPolicy(deps.paths)).level,
    missingResults: assignment === null ? [] : await findMissingResults(deps.paths, assignment),
    undelivered: entries.filter(({ report }) => report.type === "refusal" || isOver(report.run.state)).length,
  };
}

function daemonOf({ process, socket, since, clockOffsetMs }: DaemonState): NonNullable<Status["daemon"]> {
  return { pid: process.pid, socket, since, clockOffsetMs };
}

async function lastGoodOf(
  paths: Paths,
  binding: AssignedBinding,
  zone: string,
): Promise<Pick<Status["bindings"][number], "lastGoodAt" | "lateAt">> {
  // A damaged file is reported as a host trouble.
  const good = await readNewestGood(paths, binding.id).catch(() => ({ at: null }));
  const lastGoodAt = good?.at ?? null;
  const sinceMs = await scheduledSince(paths, { kind: "backup", binding });
  const isKnown = good === null || lastGoodAt !== null;
  if (binding.paused || !binding.settings.enable || !isKnown || sinceMs === null) return { lastGoodAt, lateAt: null };
  const last = await readLastRun(paths, { kind: "backup", id: binding.id });
  const expected = nextExpectedAfter(binding, {
    zone,
    endedMs: last?.endedMs ?? null,
    goodMs: lastGoodAt === null ? null : Date.parse(lastGoodAt),
    sinceMs,
  });
  return { lastGoodAt, lateAt: expected === null ? null : instant(expected.lateAt) };
}

function nextAfter({ settings }: AssignedBinding, isRunning: boolean): "run" | "boot" | null {
  const { OnBootSec, OnUnitInactiveSec } = settings.timerConfig;
  if (isRunning && OnUnitInactiveSec !== undefined) return "run";
  return OnBootSec === undefined ? null : "boot";
}

const NEXT_AFTER = { run: "after this one", boot: "after the next start of the machine" };

function bindingLine(binding: Status["bindings"][number], now: number): string {
  const { name, state, running, nextDueAt, lastGoodAt, lateAt } = binding;
  const next = nextDueAt ?? (binding.nextAfter === null ? "never" : NEXT_AFTER[binding.nextAfter]);
  const isLate = !running && lateAt !== null && Date.parse(lateAt) <= now;
  return [
    `binding     ${name}: ${running ? "running, " : ""}${state === "on" ? `next ${next}` : state}`,
    ...(lastGoodAt === null ? [] : [`last good ${lastGoodAt}`]),
    ...(isLate ? [`LATE since ${lateAt}`] : []),
  ].join(", ");
}

function clockLines({ daemon }: Status): string[] {
  const fault = clockSkewFault({ clockOffset: () => daemon?.clockOffsetMs ?? 0 });
  return fault === null ? [] : [`clock       ${fault}`];
}

function contractsLines({ declared, faults }: Status["contracts"]): string[] {
  const faulty = new Set(faults.map(({ file }) => file)).size;
  if (declared + faulty === 0) return [];
  const not = faulty === 0 ? "" : `; not in force as written: ${faulty}`;
  return [`contracts   ${declared} declared here${not}`];
}

function linesOf(status: Status, now: number): string[] {
  const { enrolled, daemon, contracts } = status;
  if (enrolled === null) return ["not enrolled: run 'holdfast-agent enroll --url URL --token-file FILE'"];
  return [
    `host        ${enrolled.name} (${enrolled.host})`,
    `control     ${enrolled.url}`,
    ...(status.recipient === null ? [] : [`recipient   ${status.recipient}`]),
    daemon === null
      ? "agent       not running: start it with 'systemctl start holdfast-agent' or 'holdfast-agent run'"
      : `agent       running as process ${daemon.pid}, socket ${daemon.socket} since ${daemon.since}`,
    ...(status.instance === null ? [] : [`instance    ${status.instance}`]),
    `assignment  ${status.revision === null ? "none yet" : `revision ${status.revision}`}`,
    `reports     ${status.undelivered === 0 ? "all delivered" : `${status.undelivered} to be delivered`}`,
    ...contractsLines(contracts),
    ...contracts.faults.map(({ file, message }) => `fault       ${file}: ${message}`),
    ...clockLines(status),
    `level       ${status.level}${status.level === "open" ? ": the control plane may do everything here" : ""}`,
    ...status.approvals.map(({ key, summary }) => `waits       for root: ${summary} (holdfast-agent approve ${key})`),
    ...status.bindings.map((binding) => bindingLine(binding, now)),
    ...upkeepLines(status.upkeep),
    ...status.missingResults.map((trouble) => `result      ${trouble}`),
  ];
}
