import { and, eq, inArray, or, sql } from "drizzle-orm";
import type { DeclarationFault, Declarations, DeclarationsResult } from "../../../shared/declaration.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { onlyGenuine } from "../../keys/row-mac.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { guard, withRetry, writeAll, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { enqueue } from "../../notify/outbox.ts";
import { planDeclarations, type DeclaredState, type Plan } from "./plan.ts";
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
  input: Declarations,
): Promise<DeclarationsResult> {
  const { plan, isAssignmentChanged, haveFaultsChanged } = await withRetry(async () => {
    const now = instant(deps.clock.now());
    const { faults: before, ...known } = await readKnown(deps, host.id, input);
    const tampered = await tamperedIds(deps, known);
    const planned = planDeclarations(
      known,
      { host: host.id, now, newId: () => newId(deps), tampered },
      input.declarations,
    );
    const undeclared = findUndeclared(host.id, known, planned, input);
    const faults = [...input.faults, ...planned.faults];
    const changes = [
      ...(await undeclareBindings(deps, { gone: undeclared, known, tampered }, planned, now)),
      ...(await writeDeclared(deps, planned)),
      ...(await undeclareRest(deps, { gone: undeclared, tampered }, now)),
    ];
    const isChanged = changesAssignment(known, planned, undeclared);
    const areFaultsNew = JSON.stringify(faults) !== JSON.stringify(before);
    await writeAll(deps.db, [
      ...changes,
      ...(areFaultsNew ? recordFaults(deps, host, { before, faults }) : []),
      ...(isChanged ? [bumpHost(deps, host.id)] : []),
    ]);
    return { plan: planned, isAssignmentChanged: isChanged, haveFaultsChanged: areFaultsNew };
  });
  if (haveFaultsChanged) deps.wakeOutbox();
  if (isAssignmentChanged) await deps.hub.poke(host.id, "assignment");
  return { contracts: plan.applied, faults: plan.faults };
}

/**
 * Saves the faults and enqueues host.declaration_faults. For a changed set of faults only, also when it became empty.
 */
function recordFaults(
  deps: Deps,
  { id, name }: { readonly id: Id; readonly name: string },
  { before, faults }: Record<"before" | "faults", DeclarationFault[]>,
): Statement[] {
  const unchanged = and(eq(hosts.id, id), eq(hosts.declarationFaults, before));
  return [
    // Of two concurrent writers only one sends the notification; the other starts again.
    guard(deps.db, sql`exists (select 1 from ${hosts} where ${unchanged})`),
    deps.db.update(hosts).set({ declarationFaults: faults }).where(eq(hosts.id, id)),
    enqueue(deps, { type: "host.declaration_faults", data: { host: { id, name }, faults }, subject: { host: id } }),
  ];
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
  { declarations }: Declarations,
): Promise<DeclaredState & { faults: DeclarationFault[] }> {
  const { db } = deps;
  const names = declarations.flatMap(({ bound }) => bound?.repository.name ?? []);
  const [[self], contracted, stored, bound] = await db.batch([
    db.select({ faults: hosts.declarationFaults }).from(hosts).where(eq(hosts.id, host)),
    db.select().from(contracts).where(eq(contracts.host, host)),
    db
      .select()
      .from(repositories)
      .where(or(eq(repositories.host, host), inArray(repositories.name, names))),
    db.select().from(bindings).where(eq(bindings.host, host)),
  ]);
  return { contracts: contracted, repositories: stored, bindings: bound, faults: self?.faults ?? [] };
}

/** Objects that are no longer declared. Objects of a file with a fault still count as declared. */
function findUndeclared(host: Id, known: DeclaredState, plan: Plan, { declarations }: Declarations): DeclaredState {
  const names = new Set(declarations.map(({ name }) => name));
  const kept = new Set(plan.applied.flatMap(({ binding }) => binding ?? []));
  const faulty = new Set(plan.faults.map(({ file }) => file));
  const faultyNames = new Set(declarations.filter(({ file }) => faulty.has(file)).map(({ name }) => name));
  const stays = new Set(known.contracts.filter(({ name }) => faultyNames.has(name)).map(({ id }) => id));
  const isGone = (row: DeclaredState["bindings"][number]) =>
    row.declared && !kept.has(row.id) && !stays.has(row.contract);
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
