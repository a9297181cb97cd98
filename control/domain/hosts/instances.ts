import { eq, sql, type SQL } from "drizzle-orm";
import { Failure } from "../../../shared/failure.ts";
import type { HostInstances, Instance } from "../../../shared/host.ts";
import { type Id, instant } from "../../../shared/ids.ts";
import type { AgentInstance } from "../../../shared/instance.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { incidents } from "../../db/schema/incidents.ts";
import { guard, isGuardError, type Statement, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { invalidRequest } from "../errors.ts";
import { closeIncident, hasOpen, isOpenOfKind, openIncident } from "../incidents/incidents.ts";

/** Longer than an agent with a socket goes without a request: silent for so long, a process is gone. */
export const GONE_AFTER_MS = 45 * 60_000;
/** Two that were both seen: silent for so long, one of them is gone for good. */
export const CLONE_GONE_AFTER_MS = 24 * 3_600_000;
/** A host's clock is corrected to about two seconds, and a JWT says the second in which it was made. */
const CLOCK_SLACK_MS = 5_000;
const RECORD_SEEN_EVERY_MS = 60_000;
const MAX_REFUSED = 32;

/**
 * Where a process stands: `alone`, it is the host. `waiting`: another one was there shortly before. `contested`: both
 * are there. `refused`: an owner said that it is not this host.
 */
export type Standing = "alone" | "waiting" | "contested" | "refused";

/** A process that sent a request. */
export interface Seen extends AgentInstance {
  /** When it made the request's JWT, in milliseconds since 1970. */
  readonly madeAt: number;
  readonly address: string | null;
}

/**
 * What a request says about who uses a host's key. A process that came after the current one, on the same disk, takes
 * its place; any other is a rival. @param seen null: from an agent that names no process
 */
export function seeInstance(
  state: HostInstances | null,
  seen: Seen | null,
  now: number,
): { state: HostInstances | null; standing: Standing } {
  if (state === null) return { state: seen === null ? null : newState(seen, now), standing: "alone" };
  const who: Seen = seen ?? { id: "", after: [], madeAt: now, address: null };
  const rival = state.rival !== null && isWithin(state.rival, CLONE_GONE_AFTER_MS, now) ? state.rival : null;
  const known = (id: string): boolean => id === state.current.id || id === rival?.id || state.refused.includes(id);
  // The nearest that is known says whose successor it is: both machines may have come after the same one.
  const nearest = [who.id, ...who.after.toReversed()].find(known);
  if (nearest === state.current.id) {
    const contestedAt = rival === null ? null : (state.contestedAt ?? instant(now));
    const next = { ...state, current: instanceOf(who, state.current, now), rival, contestedAt };
    return { state: next, standing: contestedAt === null ? "alone" : "contested" };
  }
  if (nearest !== undefined && nearest !== rival?.id) {
    const refused = [...new Set([...state.refused, ...(who.id === "" ? [] : [who.id])])].slice(-MAX_REFUSED);
    return { state: { ...state, refused }, standing: "refused" };
  }
  // Made before the current one was there: late, but of a process that is gone.
  if (nearest === undefined && who.madeAt <= Date.parse(state.current.since) + CLOCK_SLACK_MS)
    return { state, standing: "alone" };
  const next = { ...state, rival: instanceOf(who, rival, now) };
  if (state.contestedAt !== null && rival !== null) return { state: next, standing: "contested" };
  if (isWithin(state.current, GONE_AFTER_MS, now))
    return { state: { ...next, contestedAt: null }, standing: "waiting" };
  return { state: { ...newState(who, now), refused: state.refused }, standing: "alone" };
}

function newState(seen: Seen, now: number): HostInstances {
  return { current: instanceOf(seen, null, now), rival: null, contestedAt: null, refused: [] };
}

function instanceOf({ id, address }: Seen, known: Instance | null, now: number): Instance {
  const since = known !== null && known.id === id ? known.since : instant(now);
  return { id, since, seenAt: instant(now), address };
}

function isWithin({ seenAt }: Instance, milliseconds: number, now: number): boolean {
  return now - Date.parse(seenAt) <= milliseconds;
}

/**
 * Records which process sent an authenticated request, and opens host.cloned when two are there. Throws
 * `auth.host_cloned` unless the request may be answered meanwhile, and `auth.host_revoked` for one that an owner
 * refused.
 * @param mayAnswer the request brings something and takes nothing: a report
 */
export async function noticeInstance(
  deps: Deps,
  host: InstancesOfHost,
  seen: Seen | null,
  mayAnswer: boolean,
): Promise<void> {
  const { state, standing } = seeInstance(host.instances, seen, deps.clock.now());
  if (state !== null && isWorthWriting(host.instances, state)) await save(deps, host, state);
  if (standing === "alone") return;
  if (standing === "refused") {
    throw new Failure(
      "auth.host_revoked",
      `another machine is host "${host.name}", as its owner said: enrol this one again, with a new token`,
    );
  }
  if (mayAnswer) return;
  const why =
    standing === "contested"
      ? "two machines use its key"
      : "another machine used its key until just now, or still does";
  throw new Failure(
    "auth.host_cloned",
    `host "${host.name}" gets nothing until it is known which machine it is: ${why}. \`holdfast instances\` shows both; enrol a clone again`,
  );
}

function isWorthWriting(before: HostInstances | null, after: HostInstances): boolean {
  if (before === null) return true;
  const isLater = (old: Instance | null, now: Instance | null): boolean =>
    old?.id !== now?.id ||
    (old !== null && now !== null && Date.parse(now.seenAt) - Date.parse(old.seenAt) >= RECORD_SEEN_EVERY_MS);
  return (
    before.contestedAt !== after.contestedAt ||
    before.refused.length !== after.refused.length ||
    isLater(before.current, after.current) ||
    isLater(before.rival, after.rival)
  );
}

/** Another request that came at the same time may win: the next one sees both. */
async function save(deps: Deps, host: InstancesOfHost, state: HostInstances): Promise<void> {
  const wasContested = host.instances !== null && host.instances.contestedAt !== null;
  const isNew = state.contestedAt !== null && !wasContested;
  try {
    await writeAll(deps.db, [
      ...replaceState(deps, host, state),
      ...(isNew ? openCloned(deps, host, state) : []),
      ...(wasContested && state.contestedAt === null
        ? closeCloned(deps, host, "the other machine has been silent for a day")
        : []),
    ]);
    if ((state.contestedAt !== null) !== wasContested) deps.wakeOutbox();
    // The other one is asked to speak, so that it is known soon whether it is there.
    if (state.rival !== null && host.instances?.rival?.id !== state.rival.id) await deps.hub.poke(host.id, "orders");
  } catch (error) {
    if (!isGuardError(error)) throw error;
  }
}

interface InstancesOfHost {
  readonly id: Id;
  readonly name: string;
  readonly instances: HostInstances | null;
}

/** Statements that replace the state, unless another request has changed it meanwhile. */
function replaceState(deps: Pick<Deps, "db">, { id, instances }: InstancesOfHost, state: HostInstances): Statement[] {
  const before = instances === null ? sql`null` : sql`${JSON.stringify(instances)}`;
  const isUnchanged = sql`exists (select 1 from ${hosts} where ${hosts.id} = ${id} and ${hosts.instances} is ${before})`;
  return [guard(deps.db, isUnchanged), deps.db.update(hosts).set({ instances: state }).where(eq(hosts.id, id))];
}

function openCloned(deps: Deps, host: { readonly id: Id; readonly name: string }, state: HostInstances): Statement[] {
  const { current, rival } = state;
  const summary = `two machines use the key of host "${host.name}": neither gets an assignment or an order`;
  const reason = [current, ...(rival === null ? [] : [rival])].map(describeInstance).join("; ");
  const data = { host: { id: host.id, name: host.name }, reason, instances: [current, rival] };
  return openIncident(deps, { kind: "host.cloned", host: host.id }, { summary, event: { type: "host.cloned", data } });
}

function describeInstance({ id, address, since }: Instance): string {
  return `${id === "" ? "an agent without a name" : id}${address === null ? "" : ` from ${address}`}, since ${since}`;
}

/** Statements that close host.cloned, if it is open. */
export function closeCloned(
  deps: Deps,
  host: { readonly id: Id; readonly name: string },
  message: string,
): Statement[] {
  const event = { type: "host.clone_gone" as const, data: { host: { id: host.id, name: host.name }, reason: message } };
  return closeIncident(deps, { kind: "host.cloned", host: host.id }, { message, event });
}

/**
 * The owner says which of two machines is the host: the other one is refused from now on, until it is enrolled again.
 * Throws `request.invalid` when it is neither.
 */
export async function acceptInstance(deps: Deps, host: InstancesOfHost, accepted: string): Promise<void> {
  const state = host.instances;
  const both = state === null ? [] : [state.current, ...(state.rival === null ? [] : [state.rival])];
  const chosen = both.find(({ id }) => id === accepted);
  if (state === null || chosen === undefined || state.rival === null) {
    const known = both.length < 2 ? "no other machine uses its key" : `it is ${both.map(({ id }) => id).join(" or ")}`;
    throw invalidRequest(["accept"], `no such instance of host "${host.name}" waits: ${known}`);
  }
  const others = both.filter(({ id }) => id !== accepted && id !== "").map(({ id }) => id);
  const refused = [...new Set([...state.refused, ...others])].filter((id) => id !== accepted).slice(-MAX_REFUSED);
  await writeAll(deps.db, [
    ...replaceState(deps, host, { current: chosen, rival: null, contestedAt: null, refused }),
    ...closeCloned(deps, host, `its owner said that it is ${accepted}`),
  ]);
  deps.wakeOutbox();
}

/** SQL: whether an incident host.cloned is open. */
export function isCloneDue(): SQL {
  return hasOpen("host.cloned");
}

/** Closes host.cloned where one of two machines has been silent for a day: the other one is the host. */
export async function sweepClones(deps: Deps): Promise<void> {
  const rows = await deps.db
    .select({ id: hosts.id, name: hosts.name, instances: hosts.instances })
    .from(incidents)
    .innerJoin(hosts, eq(hosts.id, incidents.host))
    .where(isOpenOfKind("host.cloned"));
  const now = deps.clock.now();
  for (const host of rows) {
    const state = host.instances;
    const both = state === null || state.rival === null ? [] : [state.current, state.rival];
    const present = both.filter((one) => isWithin(one, CLONE_GONE_AFTER_MS, now));
    if (present.length > 1) continue;
    const [left = state?.current] = present;
    const rest =
      state === null || left === undefined ? [] : [{ ...state, current: left, rival: null, contestedAt: null }];
    try {
      await writeAll(deps.db, [
        ...rest.flatMap((next) => replaceState(deps, host, next)),
        ...closeCloned(deps, host, "the other machine has been silent for a day"),
      ]);
      deps.wakeOutbox();
    } catch (error) {
      if (!isGuardError(error)) throw error;
    }
  }
}
