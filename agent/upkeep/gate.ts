import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Level } from "../../shared/approval.ts";
import type { Retention } from "../../shared/binding.ts";
import { type Id, instant } from "../../shared/ids.ts";
import type { PlannedSnapshot, SnapshotFacts } from "../../shared/run.ts";
import type { ForgetGate } from "../state/forget-gate.ts";
import type { MadeSnapshot } from "../state/made-snapshots.ts";
import { covers, heldBy } from "./coverage.ts";

interface GateInput {
  readonly binding: Id;
  readonly level: Level;
  readonly plan: readonly PlannedSnapshot[];
  readonly snapshots: readonly SnapshotFacts[];
  readonly made: readonly MadeSnapshot[];
  readonly retention: Retention;
  readonly gate: ForgetGate;
  readonly now: number;
  /** Whether root said yes to what has this key. */
  readonly isGranted: (key: string) => boolean;
}

interface GateResult {
  /** What waits stays, with the reason. */
  readonly plan: readonly PlannedSnapshot[];
  readonly warnings: readonly string[];
  /** What the next forget is compared with, once this one is done. */
  readonly gate: ForgetGate;
}

/** A plan that removes fewer is never more than half: a few test backups are no history. */
const FEW = 3;

/**
 * Takes out of a plan what looks more like an attack or a mistake than like a retention at work, to wait for root: more
 * than half of the snapshots by a retention that was changed, and those that hold more than the newest good one.
 * With level "open" it only warns.
 */
export function holdBack(input: GateInput): GateResult {
  const { plan, retention, gate, now } = input;
  const going = plan.filter(({ keep }) => !keep).map(({ snapshot }) => snapshot);
  const granted = new Set(gate.waiting !== null && input.isGranted(gate.waiting.key) ? gate.waiting.snapshots : []);
  const most = mostWith(gate.most, { day: instant(now).slice(0, 10), snapshots: plan.length });
  const rest = going.filter((id) => !granted.has(id));
  const anomaly = moreThanHalf(input, { rest, left: plan.length - going.length, most }) ?? holdingMore(input, rest);
  if (anomaly === null) {
    const known = granted.size > 0 ? [{ day: instant(now).slice(0, 10), snapshots: plan.length - going.length }] : most;
    return { plan, warnings: [], gate: { retention, most: known, waiting: null } };
  }
  const { snapshots, what } = anomaly;
  if (input.level === "open") return { plan, warnings: [what], gate: { retention, most, waiting: null } };
  const waiting = stillWaiting(gate.waiting, snapshots) ?? { key: keyOf(input.binding, snapshots), snapshots };
  const isHeld = new Set(snapshots);
  return {
    plan: plan.map((one) => (isHeld.has(one.snapshot) ? { ...one, keep: true, reasons: [WAITS] } : one)),
    warnings: [`${what}: they stay until root says yes on this host (holdfast-agent approve ${waiting.key})`],
    gate: { ...gate, most, waiting },
  };
}

const WAITS = "waits for root";

interface Anomaly {
  readonly snapshots: string[];
  readonly what: string;
}

/**
 * A retention that is the same as when snapshots were last removed does only what it was always going to, if late:
 * after a pause, or after weeks of backups with warnings.
 */
function moreThanHalf(
  { retention, gate }: GateInput,
  { rest, left, most }: { rest: string[]; left: number; most: ForgetGate["most"] },
): Anomaly | null {
  const before = Math.max(...most.map(({ snapshots }) => snapshots));
  if (rest.length <= FEW || left * 2 >= before || isDeepStrictEqual(gate.retention, retention)) return null;
  const what = `the changed retention would remove ${rest.length} snapshots and leave ${left} of ${before}`;
  return { snapshots: rest, what };
}

function holdingMore(input: GateInput, rest: string[]): Anomaly | null {
  const { made } = input;
  const held = new Map(heldBy(input).map((one) => [one.id, one]));
  const newest = made.findLast(({ id }) => held.has(id));
  const last = newest === undefined ? undefined : held.get(newest.id);
  if (last === undefined) return null;
  const more = rest.filter((id) => {
    const one = held.get(id);
    return one !== undefined && !covers(last, one);
  });
  if (more.length === 0) return null;
  return {
    snapshots: more,
    what: `${more.length} snapshots would be removed that hold more than the newest good one`,
  };
}

/** The same question as before, as long as nothing new is asked: root may be about to answer it. */
function stillWaiting(waiting: ForgetGate["waiting"], snapshots: readonly string[]): ForgetGate["waiting"] {
  return waiting !== null && snapshots.every((id) => waiting.snapshots.includes(id)) ? waiting : null;
}

/** By content: exactly these snapshots. */
function keyOf(binding: Id, snapshots: readonly string[]): string {
  const content = JSON.stringify(["forget", binding, snapshots.toSorted()]);
  return createHash("sha256").update(content).digest("hex").slice(0, 16);
}

function mostWith(most: ForgetGate["most"], today: ForgetGate["most"][number]): ForgetGate["most"] {
  const last = most.at(-1);
  if (last?.day !== today.day) return [...most, today];
  return [...most.slice(0, -1), { ...today, snapshots: Math.max(last.snapshots, today.snapshots) }];
}
