import { and, eq, or, sql, type SQL } from "drizzle-orm";
import type { Id, Instant } from "../../../shared/ids.ts";
import { changeWithMac, guardAsRead, macOf } from "../../keys/row-mac.ts";
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
export async function writeDeclared(deps: Deps, plan: Plan): Promise<Statement[]> {
  const statements = await Promise.all([
    ...oncePerRow(plan.contracts).map((write) => declareContract(deps, write)),
    ...oncePerRow(plan.repositories).map((write) => declareRepository(deps, write)),
    ...oncePerRow(plan.bindings).map((write) => declareBinding(deps, write)),
  ]);
  return statements.flat();
}

/** Several declarations may name one repository: the last one's values are written, over what is stored. */
function oncePerRow<Row extends { id: Id }>(writes: readonly Write<Row>[]): Write<Row>[] {
  const byId = new Map<Id, Write<Row>>();
  for (const { row, old } of writes) {
    const before = byId.get(row.id);
    byId.set(row.id, { row, old: before === undefined ? old : before.old });
  }
  return [...byId.values()];
}

interface Undeclared {
  readonly gone: DeclaredState;
  /** Ids of rows that somebody else changed in the database: those are only deleted, if they may be. */
  readonly tampered: ReadonlySet<Id>;
}

/**
 * Statements for bindings that are no longer declared, and for renames. A binding that never ran is deleted; any other
 * stays paused, for its snapshots.
 */
export async function undeclareBindings(
  deps: Deps,
  { gone, known, tampered }: Undeclared & { known: DeclaredState },
  { renames }: Plan,
  undeclaredAt: Instant,
): Promise<Statement[]> {
  const { db } = deps;
  const ran = sql`exists (select 1 from ${runs} where ${runs.binding} = ${bindings.id})`;
  const goneIds = new Set(gone.bindings.map(({ id }) => id));
  const statements: Statement[] = [];
  for (const row of known.bindings.filter(({ id }) => goneIds.has(id) || renames.has(id))) {
    const { id } = row;
    const isGone = goneIds.has(id);
    const change = {
      name: renames.get(id) ?? row.name,
      changedAt: undeclaredAt,
      ...(isGone ? { declared: false, paused: true, alertAt: null, undeclaredAt } : {}),
    };
    statements.push(
      guardAsRead(deps, "bindings", row),
      ...(isGone ? [db.delete(bindings).where(and(eq(bindings.id, id), sql`not ${ran}`))] : []),
    );
    if (!tampered.has(id)) {
      const written = await changeWithMac(deps, "bindings", row, change);
      statements.push(db.update(bindings).set(written).where(eq(bindings.id, id)));
    }
    if (isGone) statements.push(closeIncidentsOf(deps, "binding", id));
  }
  return statements;
}

/** Statements for repositories and contracts that are no longer declared. Run them after those of the bindings. */
export async function undeclareRest(
  deps: Deps,
  { gone, tampered }: Undeclared,
  undeclaredAt: Instant,
): Promise<Statement[]> {
  const { db } = deps;
  const undeclared = { declared: false, undeclaredAt, changedAt: undeclaredAt };
  const isUsed = or(
    sql`${repositories.engineId} is not null`,
    sql`exists (select 1 from ${bindings} where ${bindings.repository} = ${repositories.id})`,
    sql`exists (select 1 from ${runs} where ${runs.repository} = ${repositories.id})`,
    sql`exists (select 1 from ${snapshots} where ${snapshots.repository} = ${repositories.id})`,
  );
  const isBound = sql`exists (select 1 from ${bindings} where ${bindings.contract} = ${contracts.id})`;
  const statements: Statement[] = [];
  for (const row of gone.repositories) {
    statements.push(
      guardAsRead(deps, "repositories", row),
      db.delete(repositories).where(and(eq(repositories.id, row.id), sql`not ${isUsed}`)),
    );
    if (tampered.has(row.id)) continue;
    const written = await changeWithMac(deps, "repositories", row, undeclared);
    statements.push(db.update(repositories).set(written).where(eq(repositories.id, row.id)));
  }
  for (const row of gone.contracts) {
    statements.push(
      guardAsRead(deps, "contracts", row),
      db.delete(contracts).where(and(eq(contracts.id, row.id), sql`not ${isBound}`)),
    );
    if (tampered.has(row.id)) continue;
    const written = await changeWithMac(deps, "contracts", row, undeclared);
    statements.push(db.update(contracts).set(written).where(eq(contracts.id, row.id)));
  }
  return statements;
}

async function declareContract(deps: Deps, { row, old }: Write<ContractRow>): Promise<Statement[]> {
  const { db } = deps;
  const { id, host, name, createdAt: _createdAt, ...change } = row;
  const mac = await macOf(deps, "contracts", row);
  if (old === null) {
    const taken = and(eq(contracts.host, host), eq(contracts.name, name));
    return [guardAbsent(db, sql`${contracts} where ${taken}`), db.insert(contracts).values({ ...row, mac })];
  }
  return [
    guardAsRead(deps, "contracts", old),
    db
      .update(contracts)
      .set({ ...change, mac })
      .where(eq(contracts.id, id)),
  ];
}

/** Does not touch the columns that reports write. */
async function declareRepository(deps: Deps, { row, old }: Write<RepositoryRow>): Promise<Statement[]> {
  const { db } = deps;
  const { id, engineId: _engineId, createdAt: _createdAt, ...change } = row;
  const mac = await macOf(deps, "repositories", row);
  if (old === null) {
    return [
      guardAbsent(db, sql`${repositories} where ${eq(repositories.name, row.name)}`),
      db.insert(repositories).values({ ...row, mac }),
    ];
  }
  return [
    guardAsRead(deps, "repositories", old),
    db
      .update(repositories)
      .set({ ...change, mac })
      .where(eq(repositories.id, id)),
  ];
}

/** Does not touch the columns that reports and lateness checks write. */
async function declareBinding(deps: Deps, { row, old }: Write<BindingRow>): Promise<Statement[]> {
  const { db } = deps;
  const { id, host, name, contract, repository, ...more } = row;
  const { listedBy: _list, goodAt: _good, expectedSince: _since, alertAt: _due, createdAt: _created, ...change } = more;
  const mac = await macOf(deps, "bindings", row);
  if (old === null) {
    const taken = or(
      and(eq(bindings.host, host), eq(bindings.name, name)),
      and(eq(bindings.contract, contract), eq(bindings.repository, repository)),
    );
    return [guardAbsent(db, sql`${bindings} where ${taken}`), db.insert(bindings).values({ ...row, mac })];
  }
  const same = and(eq(bindings.id, id), eq(bindings.changedAt, old.changedAt));
  return [
    guardAsRead(deps, "bindings", old),
    guardExists(db, sql`${bindings} where ${same}`),
    db
      .update(bindings)
      .set({ ...change, name, mac })
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
