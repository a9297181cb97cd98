import { and, eq, or, sql, type SQL } from "drizzle-orm";
import type { Instant } from "../../../shared/ids.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { runs, snapshots } from "../../db/schema/runs.ts";
import { guard, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import type { DeclaredState, Plan, Write } from "./plan.ts";
import { closeIncidentsOf } from "../incidents/incidents.ts";
import { restartExpectation } from "../lateness/lateness.ts";

type ContractRow = DeclaredState["contracts"][number];
type RepositoryRow = DeclaredState["repositories"][number];
type BindingRow = DeclaredState["bindings"][number];

/** Statements that write new and changed rows. A row changed since it was read rolls the batch back. */
export function writeDeclared(deps: Deps, plan: Plan): Statement[] {
  return [
    ...plan.contracts.flatMap((write) => declareContract(deps, write)),
    ...plan.repositories.flatMap((write) => declareRepository(deps, write)),
    ...plan.bindings.flatMap((write) => declareBinding(deps, write)),
  ];
}

/**
 * Statements for bindings that are no longer declared, and for renames. A binding that never ran is deleted; any other
 * stays paused, for its snapshots.
 */
export function undeclareBindings(
  deps: Deps,
  gone: DeclaredState,
  { renames }: Plan,
  undeclaredAt: Instant,
): Statement[] {
  const { db } = deps;
  const ran = sql`exists (select 1 from ${runs} where ${runs.binding} = ${bindings.id})`;
  return [
    ...gone.bindings.flatMap(({ id }) => [
      db.delete(bindings).where(and(eq(bindings.id, id), sql`not ${ran}`)),
      db
        .update(bindings)
        .set({ declared: false, paused: true, alertAt: null, undeclaredAt, changedAt: undeclaredAt })
        .where(eq(bindings.id, id)),
      closeIncidentsOf(deps, "binding", id),
    ]),
    ...[...renames].map(([id, name]) =>
      db.update(bindings).set({ name, changedAt: undeclaredAt }).where(eq(bindings.id, id)),
    ),
  ];
}

/** Statements for repositories and contracts that are no longer declared. Run them after those of the bindings. */
export function undeclareRest({ db }: Deps, gone: DeclaredState, undeclaredAt: Instant): Statement[] {
  const undeclared = { declared: false, undeclaredAt, changedAt: undeclaredAt };
  const isUsed = or(
    sql`${repositories.engineId} is not null`,
    sql`exists (select 1 from ${bindings} where ${bindings.repository} = ${repositories.id})`,
    sql`exists (select 1 from ${runs} where ${runs.repository} = ${repositories.id})`,
    sql`exists (select 1 from ${snapshots} where ${snapshots.repository} = ${repositories.id})`,
  );
  const isBound = sql`exists (select 1 from ${bindings} where ${bindings.contract} = ${contracts.id})`;
  return [
    ...gone.repositories.flatMap(({ id }) => [
      db.delete(repositories).where(and(eq(repositories.id, id), sql`not ${isUsed}`)),
      db.update(repositories).set(undeclared).where(eq(repositories.id, id)),
    ]),
    ...gone.contracts.flatMap(({ id }) => [
      db.delete(contracts).where(and(eq(contracts.id, id), sql`not ${isBound}`)),
      db.update(contracts).set(undeclared).where(eq(contracts.id, id)),
    ]),
  ];
}

function declareContract({ db }: Deps, { row, old }: Write<ContractRow>): Statement[] {
  const { id, host, name, createdAt: _createdAt, ...change } = row;
  if (old === null) {
    const taken = and(eq(contracts.host, host), eq(contracts.name, name));
    return [guardAbsent(db, sql`${contracts} where ${taken}`), db.insert(contracts).values(row)];
  }
  const same = and(eq(contracts.id, id), eq(contracts.changedAt, old.changedAt));
  return [
    guardExists(db, sql`${contracts} where ${same}`),
    db.update(contracts).set(change).where(eq(contracts.id, id)),
  ];
}

/** Does not touch the columns that reports write. */
function declareRepository({ db }: Deps, { row, old }: Write<RepositoryRow>): Statement[] {
  const { id, engineId: _engineId, createdAt: _createdAt, ...change } = row;
  if (old === null) {
    return [
      guardAbsent(db, sql`${repositories} where ${eq(repositories.name, row.name)}`),
      db.insert(repositories).values(row),
    ];
  }
  const same = and(eq(repositories.id, id), eq(repositories.changedAt, old.changedAt));
  return [
    guardExists(db, sql`${repositories} where ${same}`),
    db.update(repositories).set(change).where(eq(repositories.id, id)),
  ];
}

/** Does not touch the columns that reports and lateness checks write. */
function declareBinding(deps: Deps, { row, old }: Write<BindingRow>): Statement[] {
  const { db } = deps;
  const { id, host, name, contract, repository, ...more } = row;
  const { listedBy: _list, goodAt: _good, expectedSince: _since, alertAt: _due, createdAt: _created, ...change } = more;
  if (old === null) {
    const taken = or(
      and(eq(bindings.host, host), eq(bindings.name, name)),
      and(eq(bindings.contract, contract), eq(bindings.repository, repository)),
    );
    return [guardAbsent(db, sql`${bindings} where ${taken}`), db.insert(bindings).values(row)];
  }
  const same = and(eq(bindings.id, id), eq(bindings.changedAt, old.changedAt));
  return [
    guardExists(db, sql`${bindings} where ${same}`),
    db
      .update(bindings)
      .set({ ...change, name })
      .where(eq(bindings.id, id)),
    ...restartExpectation(deps, { old, now: row }),
  ];
}

function guardExists(db: Deps["db"], rows: SQL): Statement {
  return guard(db, sql`exists (select 1 from ${rows})`);
}

function guardAbsent(db: Deps["db"], rows: SQL): Statement {
  return guard(db, sql`not exists (select 1 from ${rows})`);
}
