import * as z from "zod";
import { HostApproval, MAX_APPROVALS } from "../../shared/approval.ts";
import { Instant, instant } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { acquireLock } from "../state/locks.ts";
import { readState, writeState } from "../system/state-file.ts";
import type { Ask } from "./ask.ts";
import { grantedKeys } from "./grants.ts";

/**
 * Something that waits for root. `until`: of an order or a run that ends anyway; null: as long as it is assigned.
 * `content`: all of what is asked for, as JSON.
 */
const Waiting = HostApproval.extend({ until: Instant.nullable(), content: z.string() });
type Waiting = z.infer<typeof Waiting>;

const WaitingFile = z.strictObject({ waiting: z.array(Waiting) });

type WaitingPaths = Pick<Paths, "waitingFile" | "grantsFile" | "locksDir">;

interface WaitingDeps {
  readonly paths: WaitingPaths;
  readonly clock: { now(): number };
}

/** An ask, and the names of the bindings that wait for it. */
export interface WaitingAsk extends Ask {
  readonly bindings: readonly string[];
}

/** Everything that waits for root on this host now, oldest first. */
export async function readWaiting(deps: WaitingDeps): Promise<HostApproval[]> {
  return (await readWaitingWhole(deps)).slice(0, MAX_APPROVALS).map(({ content: _content, ...approval }) => approval);
}

/** The same, with all of what each asks for, as JSON: for root only. */
export async function readWaitingWhole({
  paths,
  clock,
}: WaitingDeps): Promise<(HostApproval & { readonly content: string })[]> {
  const granted = await grantedKeys(paths);
  const now = instant(clock.now());
  return (await readFile(paths))
    .filter(({ key, until }) => !granted.has(key) && (until === null || until > now))
    .toSorted((one, other) => (one.since < other.since ? -1 : 1))
    .map(({ until: _until, ...approval }) => approval);
}

/** What the assignment asks for replaces what it asked for before. */
export async function setAssignmentAsks(deps: WaitingDeps, asks: readonly WaitingAsk[]): Promise<void> {
  await change(deps, (before, now) => [
    ...before.filter(({ until }) => until !== null && until > now),
    ...asks.map((ask) => entryOf(ask, { before, now, until: null })),
  ]);
}

/**
 * Notes what an order or a run asks for.
 * @param wanted `bindings`: names of those that wait for it; `until`: when it no longer makes a difference, a week from
 *   now when it is not given: a run asks again
 */
export async function askRoot(
  deps: WaitingDeps,
  asks: readonly Ask[],
  wanted: { readonly bindings: readonly string[]; readonly until?: Instant },
): Promise<void> {
  if (asks.length === 0) return;
  const { bindings, until = instant(deps.clock.now() + SHOWN_FOR_MS) } = wanted;
  await change(deps, (before, now) => [
    ...before.filter((one) => (one.until === null || one.until > now) && !asks.some(({ key }) => key === one.key)),
    ...asks.map((ask) => {
      const known = before.find(({ key }) => key === ask.key);
      return entryOf({ ...ask, bindings }, { before, now, until: known?.until === null ? null : until });
    }),
  ]);
}

function entryOf(
  { key, kind, summary, content, bindings }: WaitingAsk,
  { before, now, until }: { before: readonly Waiting[]; now: Instant; until: Instant | null },
): Waiting {
  const since = before.find((one) => one.key === key)?.since ?? now;
  return { key, kind, summary, content, bindings: bindings.slice(0, 100), since, until };
}

async function change(
  { paths, clock }: WaitingDeps,
  after: (before: readonly Waiting[], now: Instant) => Waiting[],
): Promise<void> {
  const signal = new AbortController().signal;
  const lock = await acquireLock(paths, { name: "waiting", signal, onWait: () => undefined });
  try {
    const before = await readFile(paths);
    const waiting = after(before, instant(clock.now())).slice(-MAX_KEPT);
    if (JSON.stringify(waiting) !== JSON.stringify(before)) await writeState(paths.waitingFile, { waiting });
  } finally {
    await lock.release();
  }
}

const SHOWN_FOR_MS = 7 * 86_400_000;
/** More than a host reports: what does not fit is asked again once the first ones are answered. */
const MAX_KEPT = 5 * MAX_APPROVALS;

/** A damaged list counts as none: what waits asks again. */
async function readFile({ waitingFile }: Pick<Paths, "waitingFile">): Promise<Waiting[]> {
  return (await readState(waitingFile, WaitingFile))?.waiting ?? [];
}
