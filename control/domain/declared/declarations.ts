import { eq, inArray, or } from "drizzle-orm";
import {
  type DeclarationFault,
  type DeclarationsResult,
  MAX_DECLARED,
  type PublishedDeclarations,
} from "../../../shared/declaration.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { onlyGenuine } from "../../keys/row-mac.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { withRetry, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { openRefusal, recordFaults } from "./faults.ts";
import { planDeclarations, type DeclaredState, type Plan } from "./plan.ts";
import { type ReadDeclarations, readPublished } from "./read.ts";
import { writeDeclared, undeclareBindings, undeclareRest } from "./writes.ts";
import { newId } from "../ids.ts";
import { bumpHost } from "../revisions.ts";

/**
 * Applies all declarations of a host in one batch: creates, updates, and removes what is no longer declared, unless
 * something depends on it (docs/decisions/0021).
 */
export async function applyDeclarations(
  deps: Deps,
  host: { readonly id: Id; readonly name: string },
  published: PublishedDeclarations,
): Promise<DeclarationsResult> {
  const input = readPublished(published);
  const { plan, refused, isAssignmentChanged, notifies } = await withRetry(async () => {
    const now = instant(deps.clock.now());
    const { faults: before, isIncidentOpen, ...known } = await readKnown(deps, host.id, input);
    const tampered = await tamperedIds(deps, known);
    const planned = planDeclarations(
      known,
      { host: host.id, now, newId: () => newId(deps), tampered },
      input.declarations,
    );
    const undeclared = findUndeclared(host.id, known, planned, input);
    const ours = [...input.refused, ...planned.faults.map((fault) => withWhatStays(fault, known, input))];
    const faults = [...input.reported, ...ours].slice(0, MAX_DECLARED);
    const changes = [
      ...(await undeclareBindings(deps, { gone: undeclared, known, tampered }, planned, now)),
      ...(await writeDeclared(deps, planned)),
      ...(await undeclareRest(deps, { gone: undeclared, tampered }, now)),
    ];
    const isChanged = changesAssignment(known, planned, undeclared);
    const recorded = recordFaults(deps, host, { before, faults, isIncidentOpen });
    await writeAll(deps.db, [...changes, ...recorded, ...(isChanged ? [bumpHost(deps, host.id)] : [])]);
    return { plan: planned, refused: ours, isAssignmentChanged: isChanged, notifies: recorded.length > 0 };
  });
  if (notifies) deps.wakeOutbox();
  if (isAssignmentChanged) await deps.hub.poke(host.id, "assignment");
  return { contracts: plan.applied, faults: refused.map(({ file, message }) => ({ file, message })), refused };
}

/** A fault of something that is there already says that it stays. */
function withWhatStays(fault: DeclarationFault, known: DeclaredState, input: ReadDeclarations): DeclarationFault {
  const name = input.declarations.find(({ file }) => file === fault.file)?.name;
  const isThere = known.contracts.some((row) => row.name === name && row.declared);
  return isThere ? { ...fault, message: `${fault.message}; what it declared before stays in force` } : fault;
}

/** Whether the host's assignment changes. Contracts without a binding are not part of it. */
function changesAssignment(known: DeclaredState, plan: Plan, gone: DeclaredState): boolean {
  const bound = new Set(known.bindings.map(({ contract }) => contract));
  const changed = [...plan.contracts.map(({ row }) => row), ...gone.contracts];
  return (
    plan.bindings.length + plan.repositories.length + plan.renames.size + gone.bindings.length > 0 ||
    changed.some(({ id }) => bound.has(id))
  );
}

/** The rows that this control plane did not write as they are. A declaration that needs one becomes a fault. */
async function tamperedIds(deps: Deps, known: DeclaredState): Promise<Set<Id>> {
  const genuine = await Promise.all([
    onlyGenuine(deps, "contracts", known.contracts),
    onlyGenuine(deps, "repositories", known.repositories),
    onlyGenuine(deps, "bindings", known.bindings),
  ]);
  const ours = new Set(genuine.flat().map(({ id }) => id));
  const all = [...known.contracts, ...known.repositories, ...known.bindings].map(({ id }) => id);
  return new Set(all.filter((id) => !ours.has(id)));
}

async function readKnown(
  deps: Deps,
  host: Id,
  { declarations }: ReadDeclarations,
): Promise<DeclaredState & { faults: DeclarationFault[]; isIncidentOpen: boolean }> {
  const { db } = deps;
  const names = declarations.flatMap(({ bound }) => bound?.repository.name ?? []);
  const [[self], contracted, stored, bound, open] = await db.batch([
    db.select({ faults: hosts.declarationFaults }).from(hosts).where(eq(hosts.id, host)),
    db.select().from(contracts).where(eq(contracts.host, host)),
    db
      .select()
      .from(repositories)
      .where(or(eq(repositories.host, host), inArray(repositories.name, names))),
    db.select().from(bindings).where(eq(bindings.host, host)),
    openRefusal(deps, host),
  ]);
  return {
    contracts: contracted,
    repositories: stored,
    bindings: bound,
    faults: self?.faults ?? [],
    isIncidentOpen: open.length > 0,
  };
}

/** Objects that are no longer declared. What a file with a fault declared before still counts as declared. */
function findUndeclared(host: Id, known: DeclaredState, plan: Plan, input: ReadDeclarations): DeclaredState {
  const { declarations, kept } = input;
  if (kept === null) return { contracts: [], repositories: [], bindings: [] };
  const applied = new Set(plan.applied.flatMap(({ binding }) => binding ?? []));
  const faulty = new Set(plan.faults.map(({ file }) => file));
  const staying = new Set([...kept, ...declarations.filter(({ file }) => faulty.has(file)).map(({ name }) => name)]);
  const names = new Set([...staying, ...declarations.map(({ name }) => name)]);
  const stays = new Set(known.contracts.filter(({ name }) => staying.has(name)).map(({ id }) => id));
  const isGone = (row: DeclaredState["bindings"][number]) =>
    row.declared && !applied.has(row.id) && !stays.has(row.contract);
  const used = new Set(
    known.bindings.filter((row) => row.declared && !isGone(row)).map(({ repository }) => repository),
  );
  for (const { row } of plan.bindings) used.add(row.repository);
  return {
    contracts: known.contracts.filter(({ declared, name }) => declared && !names.has(name)),
    // Repositories found by their name may belong to another host.
    repositories: known.repositories.filter((row) => row.host === host && row.declared && !used.has(row.id)),
    bindings: known.bindings.filter(isGone),
  };
}
