import { Assignment } from "../../shared/assignment.ts";
import type { AssignedBinding, AssignedContract } from "../../shared/assignment.ts";
import type { AgentConfig, Paths } from "../config.ts";
import { resolveContract } from "../declared/policy.ts";
import { loadAssignment } from "../link/assignments.ts";
import { decideRemoval } from "../policy/append-only.ts";
import type { Ask } from "../policy/ask.ts";
import { asksOfOutgoing, asksOfRestoreAsRoot } from "../policy/asks.ts";
import { decide, type Decision, type DecideState, type Wish } from "../policy/decide.ts";
import { readGrants, recordGrants } from "../policy/grants.ts";
import { loadPolicy, type Policy } from "../policy/policy.ts";
import { setAssignmentAsks, type WaitingAsk } from "../policy/waiting.ts";
import { readState, writeState } from "../system/state-file.ts";
import { loadDecideState } from "./grant-state.ts";

export interface InForceDeps {
  readonly paths: Paths;
  readonly config: AgentConfig;
  readonly clock: { now(): number };
  readonly log: (line: string) => void;
}

/** The stored assignment as far as this host has granted it; null when there is none. */
export async function loadInForce(deps: InForceDeps): Promise<Assignment | null> {
  return await putInForce(deps, await loadAssignment(deps));
}

/**
 * Decides every object of an assignment. What waits for root is noted, and stays as it was before, or out of force if
 * it is new. What is refused stays in: the gate of its run refuses it, so its run fails and says why. An assignment
 * that ran before this host asked for anything is granted as it is, once.
 * @param assignment as signed
 * @returns what is in force from now on
 */
export async function putInForce(deps: InForceDeps, assignment: Assignment | null): Promise<Assignment | null> {
  const policy = await loadPolicy(deps.paths);
  if ((await readGrants(deps.paths)) === null) await grantWhatRuns(deps, { policy, assignment });
  if (assignment === null) return null;
  const state = await loadDecideState(deps.paths, policy);
  const before = await readState(deps.paths.inForceFile, Assignment);
  const found = await decideAll(deps, { policy, state, assignment, before });
  await setAssignmentAsks(deps, found.asks);
  if (JSON.stringify(found.inForce) !== JSON.stringify(before)) await writeState(deps.paths.inForceFile, found.inForce);
  return found.inForce;
}

/** Something assigned that this host does not do, and why. */
export interface NotAllowed {
  readonly verdict: "waits" | "refused";
  readonly what: string;
  readonly reason: string;
}

/** What of an assignment a policy would not allow. Changes nothing. */
export async function judgeAssignment(
  deps: Pick<InForceDeps, "paths">,
  { policy, assignment }: { policy: Policy; assignment: Assignment },
): Promise<NotAllowed[]> {
  const state = await loadDecideState(deps.paths, policy);
  const { verdicts } = await decideAll(deps, { policy, state, assignment, before: null });
  return verdicts;
}

interface Judged {
  readonly policy: Policy;
  readonly state: DecideState;
  readonly assignment: Assignment;
  /** What was in force before; null: nothing. */
  readonly before: Assignment | null;
}

async function decideAll(
  deps: Pick<InForceDeps, "paths">,
  { policy, state, assignment, before }: Judged,
): Promise<{ inForce: Assignment; asks: WaitingAsk[]; verdicts: NotAllowed[] }> {
  const verdicts: NotAllowed[] = [];
  const asks = new Map<string, WaitingAsk>();
  const note = (more: readonly Ask[], concerns: (binding: Assignment["bindings"][number]) => boolean): void => {
    const names = assignment.bindings.filter(concerns).map(({ name }) => name);
    for (const ask of more) {
      const known = asks.get(ask.key)?.bindings ?? [];
      asks.set(ask.key, { ...ask, bindings: [...new Set([...known, ...names])] });
    }
  };
  const choose = <Item extends { id: string; name: string }>(
    { what, item, old }: { what: string; item: Item; old: readonly Item[] },
    judge: (item: Item) => Decision,
  ) => {
    const decision = judge(item);
    verdicts.push(...notAllowed(`${what} "${item.name}"`, decision));
    if (decision.verdict !== "waits") return { item, asks: [] };
    const known = old.find(({ id }) => id === item.id);
    const isKept = known !== undefined && judge(known).verdict === "allowed";
    return { item: isKept ? known : null, asks: decision.asks };
  };

  const policies = new Map<string, Policy>();
  for (const contract of [...assignment.contracts, ...(before?.contracts ?? [])]) {
    policies.set(keyOf(contract), (await resolveContract(deps.paths, contract)).policy);
  }
  const contracts = assignment.contracts.flatMap((contract) => {
    const judge = (one: AssignedContract): Decision =>
      decide(policies.get(keyOf(one)) ?? policy, state, { kind: "contract", contract: one });
    const chosen = choose({ what: "contract", item: contract, old: before?.contracts ?? [] }, judge);
    note(chosen.asks, (binding) => binding.contract === contract.id);
    return chosen.item ?? [];
  });
  const repositories: Assignment["repositories"] = [];
  for (const repository of assignment.repositories) {
    const judge = (one: typeof repository): Decision => decide(policy, state, { kind: "repository", repository: one });
    const chosen = choose({ what: "repository", item: repository, old: before?.repositories ?? [] }, judge);
    const isOfIt = (binding: Assignment["bindings"][number]): boolean => binding.repository === repository.id;
    note(chosen.asks, isOfIt);
    if (chosen.item === null) continue;
    // What is only added to stays so until root says otherwise: its upkeep is not even planned.
    const removal = await decideRemoval({ ...deps, policy, repository: chosen.item, engineId: chosen.item.engineId });
    const waits = removal.verdict === "waits" && !state.granted.has(removal.ask.key);
    if (removal.verdict === "waits" && waits) note([removal.ask], isOfIt);
    repositories.push(waits || removal.verdict === "refused" ? { ...chosen.item, appendOnly: true } : chosen.item);
  }
  const bindings = assignment.bindings.flatMap((binding) => {
    const wish: Wish = { kind: "binding", binding };
    const decision = decide(policy, state, wish);
    verdicts.push(...notAllowed(`binding "${binding.name}"`, decision));
    if (decision.verdict === "waits") note(decision.asks, ({ id }) => id === binding.id);
    // Its hooks do not run without their secrets, nor with others: it stays as it was, or out of force.
    const judge = (one: AssignedBinding): Decision => {
      const user = contracts.find(({ id }) => id === one.contract)?.request.user;
      const { environment } = one.settings;
      if (user === undefined || environment === undefined) return { verdict: "allowed" };
      return decide(policy, state, { kind: "environment", environment, user });
    };
    const chosen = choose({ what: "binding", item: binding, old: before?.bindings ?? [] }, judge);
    note(chosen.asks, ({ id }) => id === binding.id);
    if (chosen.item === null) return [];
    const { item } = chosen;
    const isWhole =
      contracts.some(({ id }) => id === item.contract) && repositories.some(({ id }) => id === item.repository);
    if (!isWhole) return [];
    // When its pings wait, it runs without them.
    const pings = item.settings.pings.filter(({ url }) => isGranted(state, asksOfOutgoing(policy, url)));
    return { ...item, settings: { ...item.settings, pings } };
  });
  return { inForce: { ...assignment, contracts, repositories, bindings }, asks: [...asks.values()], verdicts };
}

function notAllowed(what: string, decision: Decision): NotAllowed[] {
  if (decision.verdict === "allowed") return [];
  const reasons = decision.verdict === "waits" ? decision.asks.map(({ summary }) => summary) : [decision.message];
  return reasons.map((reason) => ({ verdict: decision.verdict, what, reason }));
}

function isGranted({ granted }: DecideState, asks: readonly Ask[]): boolean {
  return asks.every(({ key }) => granted.has(key));
}

/** One object may be there twice: as assigned, and as it was before. */
function keyOf(contract: AssignedContract): string {
  return JSON.stringify(contract);
}

/** The upgrade of a host that ran without grants: what it does already goes on, and is listed. */
async function grantWhatRuns(
  deps: InForceDeps,
  { policy, assignment }: { policy: Policy; assignment: Assignment | null },
): Promise<void> {
  const state = await loadDecideState(deps.paths, policy);
  const found = assignment === null ? [] : (await decideAll(deps, { policy, state, assignment, before: null })).asks;
  // No version without grants ran anything as root for a contract of another user.
  const asRoot = new Set(assignment?.contracts.flatMap(asksOfRestoreAsRoot).map(({ key }) => key));
  const asks = found.filter(({ key }) => !asRoot.has(key));
  const granted = await recordGrants(deps, asks, "upgrade");
  if (granted.length === 0) return;
  deps.log(
    `this version of the agent asks root before the control plane may do more than it does now. ${granted.length} things that run already are granted; 'holdfast-agent approve --granted' lists them:`,
  );
  for (const { key, summary } of granted) deps.log(`  ${key}  ${summary}`);
}
