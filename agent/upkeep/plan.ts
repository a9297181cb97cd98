import type { Retention } from "../../shared/binding.ts";
import { planRetention } from "../../shared/retention.ts";
import type { PlannedSnapshot } from "../../shared/run.ts";
import type { ListedSnapshot } from "../providers/provider.ts";
import type { MadeSnapshot } from "../state/made-snapshots.ts";
import type { Policy } from "../policy/policy.ts";
import { coversPaths, halfOf, type Held, heldBy, isSmaller } from "./coverage.ts";
import { floorReasons } from "./floor.ts";

export interface ForgetPlanInput {
  /** All of the binding's snapshots, as the repository lists them. */
  readonly snapshots: readonly ListedSnapshot[];
  /** What this host remembers of them, in the order they were made. */
  readonly made: readonly MadeSnapshot[];
  readonly retention: Retention;
  readonly zone: string;
  readonly now: number;
  readonly newestGood: string | null;
  readonly level: Policy["level"];
  /** The floor of the host's policy. */
  readonly keep: Policy["keep"];
  /** The zone of the floor's days. */
  readonly hostZone: string;
}

/** More groups than this are not planned for: their snapshots stay. */
const MOST_GROUPS = 200;

/**
 * The retention's plan as the host carries it out. A snapshot counts against another only if it holds at least as much:
 * whose paths lie within its own, and that is not less than half its size. So snapshots of narrowed sources never let
 * wider ones go earlier. Where all hold the same, it is `planRetention`. The floor stays whatever the retention says.
 * @returns all of them, oldest first
 */
export function planForget(input: ForgetPlanInput): PlannedSnapshot[] {
  const held = heldBy(input);
  const together = planRetention({ ...input, snapshots: held });
  const byId = new Map(held.map((one) => [one.id, one]));
  const groupOf = groupsOf(held);
  const decisions = new Map<readonly Held[], GroupDecisions>();
  const decide = (group: readonly Held[]): GroupDecisions => {
    const known = decisions.get(group);
    if (known !== undefined) return known;
    const isPlanned = group.length < held.length && decisions.size < MOST_GROUPS;
    const plan = isPlanned ? planRetention({ ...input, snapshots: group }) : [];
    const made = { plan: new Map(plan.map((one) => [one.snapshot, one.reasons])), floor: floorReasons(input, group) };
    decisions.set(group, made);
    return made;
  };
  return together.map((planned) => {
    const one = byId.get(planned.snapshot);
    if (planned.keep || one === undefined) return planned;
    const group = groupOf(one);
    const reasons = reasonsIn(decide(group), { one, isAll: group.length === held.length });
    return { ...planned, keep: reasons.length > 0, reasons };
  });
}

interface GroupDecisions {
  /** The reasons to keep a snapshot, by id, if only the group counted. */
  readonly plan: ReadonlyMap<string, readonly string[]>;
  readonly floor: ReadonlyMap<string, string>;
}

function reasonsIn({ plan, floor }: GroupDecisions, { one, isAll }: { one: Held; isAll: boolean }): string[] {
  const reasons = isAll ? [] : plan.get(one.id);
  if (reasons === undefined) return ["holds more than newer ones"];
  if (reasons.length > 0) return reasons.map((reason) => `${reason}, of those that hold as much`);
  const kept = floor.get(one.id);
  return kept === undefined ? [] : [kept];
}

/** For each snapshot, those that count against it, itself among them. The same group is the same array. */
function groupsOf(held: readonly Held[]): (one: Held) => readonly Held[] {
  const covering = new Map<string, readonly Held[]>();
  const groups = new Map<string, readonly Held[]>();
  return (one) => {
    const paths = JSON.stringify(one.paths.toSorted());
    const wide = covering.get(paths) ?? held.filter((other) => coversPaths(other, one));
    covering.set(paths, wide);
    const half = halfOf(one);
    // Who is too small is found by two limits: as many on each side are the same ones.
    const small = (isIt: (other: Held) => boolean): number =>
      wide.reduce((sum, other) => sum + (isIt(other) ? 1 : 0), 0);
    const byFiles = small(({ files }) => files !== null && files <= half.files);
    const byBytes = small(({ bytes }) => bytes !== null && bytes <= half.bytes);
    const key = `${byFiles} ${byBytes} ${paths}`;
    const group = groups.get(key) ?? (byFiles + byBytes === 0 ? wide : wide.filter((other) => !isSmaller(other, half)));
    groups.set(key, group);
    return group;
  };
}
