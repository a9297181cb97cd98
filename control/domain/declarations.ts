import { eq, inArray, or } from "drizzle-orm";
import type { Declarations, DeclarationsTaken } from "../../shared/declaration.ts";
import { instant, type Id } from "../../shared/ids.ts";
import { bindings, contracts, hosts, repositories } from "../db/schema.ts";
import { withRetry, writeAll } from "../db/transaction.ts";
import type { Deps } from "../deps.ts";
import { planDeclarations, type Known, type Plan } from "./declaration-plan.ts";
import { declare, undeclareBindings, undeclareRest } from "./declaration-writes.ts";
import { newId } from "./page.ts";
import { bumpHost } from "./revisions.ts";

/**
 * Takes everything a host's own files declare: what is new is made, what changed is changed, and what is not declared any
 * more is taken away, unless something depends on it (docs/decisions/0021). In one batch, or not at all.
 */
export async function takeDeclarations(
  deps: Deps,
  host: { readonly id: Id },
  input: Declarations,
): Promise<DeclarationsTaken> {
  const { plan, isTold } = await withRetry(async () => {
    const now = instant(deps.clock.now());
    const known = await readKnown(deps, host.id, input);
    const planned = planDeclarations(known, { host: host.id, now, newId: () => newId(deps) }, input.declarations);
    const gone = goneBy(known, planned, input);
    const faults = [...input.faults, ...planned.faults];
    const changes = [
      ...undeclareBindings(deps, gone, planned, now),
      ...declare(deps, planned),
      ...undeclareRest(deps, gone, now),
    ];
    const isChanged = changesAssignment(known, planned, gone);
    await writeAll(deps.db, [
      ...changes,
      deps.db.update(hosts).set({ declarationFaults: faults, lastSeenAt: now }).where(eq(hosts.id, host.id)),
      ...(isChanged ? [bumpHost(deps, host.id)] : []),
    ]);
    return { plan: planned, isTold: isChanged };
  });
  if (isTold) await deps.hub.poke(host.id, "assignment");
  return { contracts: plan.taken, faults: plan.faults };
}

/** A contract that nothing is bound to is no part of what the host has to do. */
function changesAssignment(known: Known, plan: Plan, gone: Known): boolean {
  const bound = new Set(known.bindings.map(({ contract }) => contract));
  const changed = [...plan.contracts.map(({ row }) => row), ...gone.contracts];
  return (
    plan.bindings.length + plan.repositories.length + plan.renames.size + gone.bindings.length > 0 ||
    changed.some(({ id }) => bound.has(id))
  );
}

async function readKnown(deps: Deps, host: Id, { declarations }: Declarations): Promise<Known> {
  const { db } = deps;
  const names = declarations.flatMap(({ bound }) => bound?.repository.name ?? []);
  const [contracted, stored, bound] = await db.batch([
    db.select().from(contracts).where(eq(contracts.host, host)),
    db
      .select()
      .from(repositories)
      .where(or(eq(repositories.host, host), inArray(repositories.name, names))),
    db.select().from(bindings).where(eq(bindings.host, host)),
  ]);
  return { contracts: contracted, repositories: stored, bindings: bound };
}

/** What files declared and declare no more. What a file at fault declared before is not among it. */
function goneBy(known: Known, plan: Plan, { declarations }: Declarations): Known {
  const names = new Set(declarations.map(({ name }) => name));
  const kept = new Set(plan.taken.flatMap(({ binding }) => binding ?? []));
  const faulty = new Set(plan.faults.map(({ file }) => file));
  const faultyNames = new Set(declarations.filter(({ file }) => faulty.has(file)).map(({ name }) => name));
  const stays = new Set(known.contracts.filter(({ name }) => faultyNames.has(name)).map(({ id }) => id));
  const isGone = (row: Known["bindings"][number]) => row.declared && !kept.has(row.id) && !stays.has(row.contract);
  const used = new Set(
    known.bindings.filter((row) => row.declared && !isGone(row)).map(({ repository }) => repository),
  );
  for (const { row } of plan.bindings) used.add(row.repository);
  return {
    contracts: known.contracts.filter(({ declared, name }) => declared && !names.has(name)),
    repositories: known.repositories.filter(({ declared, id }) => declared && !used.has(id)),
    bindings: known.bindings.filter(isGone),
  };
}
