import { isDeepStrictEqual } from "node:util";
import type { Level } from "../../shared/approval.ts";
import type { Retention } from "../../shared/binding.ts";
import { type Id, instant } from "../../shared/ids.ts";
import type { PlannedSnapshot } from "../../shared/run.ts";
import { type Ask, askFor } from "../policy/ask.ts";
import type { ListedSnapshot } from "../providers/provider.ts";
import type { ForgetGate } from "../state/forget-gate.ts";
import type { MadeSnapshot } from "../state/made-snapshots.ts";
import { covers, heldBy } from "./coverage.ts";

interface GateInput {
  readonly binding: Id;
  /** The binding's. */
  readonly name: string;
  readonly level: Level;
  readonly plan: readonly PlannedSnapshot[];
  readonly snapshots: readonly ListedSnapshot[];
  readonly made: readonly MadeSnapshot[];
  readonly retention: Retention;
  readonly gate: ForgetGate;
  readonly now: number;
  /** Keys of what root granted. */
  readonly granted: ReadonlySet<string>;
}

interface GateResult {
  /** What waits stays, with the reason. */
  readonly plan: readonly PlannedSnapshot[];
  readonly warnings: readonly string[];
  /** What root has to grant; null when nothing waits. */
  readonly ask: Ask | null;
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
  const granted = new Set(gate.waiting !== null && input.granted.has(gate.waiting.key) ? gate.waiting.snapshots : []);
  const most = mostWith(gate.most, { day: instant(now).slice(0, 10), snapshots: plan.length });
  const rest = going.filter((id) => !granted.has(id));
  const anomaly = moreThanHalf(input, { rest, left: plan.length - going.length, most }) ?? holdingMore(input, rest);
  if (anomaly === null) {
    const known = granted.size > 0 ? [{ day: instant(now).slice(0, 10), snapshots: plan.length - going.length }] : most;
    return { plan, warnings: [], ask: null, gate: { retention, most: known, waiting: null } };
  }
  const { snapshots, what } = anomaly;
  if (input.level === "open") return { plan, warnings: [what], ask: null, gate: { retention, most, waiting: null } };
  const asked = stillWaiting(gate.waiting, snapshots) ?? snapshots;
  const ask = askFor("forget", { binding: input.binding, snapshots: asked.toSorted() }, summaryOf(input, what, asked));
  const isHeld = new Set(snapshots);
  return {
    plan: plan.map((one) => (isHeld.has(one.snapshot) ? { ...one, keep: true, reasons: [WAITS] } : one)),
    warnings: [`${what}: they stay until root says yes on this host (holdfast-agent approve ${ask.key})`],
    ask,
    gate: { ...gate, most, waiting: { key: ask.key, snapshots: asked } },
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
function stillWaiting(waiting: ForgetGate["waiting"], snapshots: readonly string[]): string[] | null {
  return waiting !== null && snapshots.every((id) => waiting.snapshots.includes(id)) ? waiting.snapshots : null;
}

function summaryOf({ binding, name, snapshots }: GateInput, what: string, asked: readonly string[]): string {
  const times = snapshots.filter(({ id }) => asked.includes(id)).map(({ takenAt }) => takenAt.slice(0, 10));
  const [first, last] = [times.toSorted()[0], times.toSorted().at(-1)];
  return `Remove ${asked.length} snapshots of binding "${name}" (${binding}), of ${first} to ${last}. Why it is asked: ${what}.`;
}

function mostWith(most: ForgetGate["most"], today: ForgetGate["most"][number]): ForgetGate["most"] {
  const last = most.at(-1);
  if (last?.day !== today.day) return [...most, today];
  return [...most.slice(0, -1), { ...today, snapshots: Math.max(last.snapshots, today.snapshots) }];
}
