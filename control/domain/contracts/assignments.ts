import { and, asc, eq, getTableColumns, lt, sql } from "drizzle-orm";
import type { AssignedContract, AssignedRepository, Assignment } from "../../../shared/assignment.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { sign } from "../../auth/sign.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import type { Deps } from "../../deps.ts";
import { columnsToBody } from "./rows.ts";
import { notFound } from "../errors.ts";
import type { RepositoryRow } from "./repositories.ts";

/** The host of the oldest binding of a repository: it maintains it unless somebody else is named. */
const firstUser = sql<Id>`(select first.host from ${bindings} as first where first.repository = ${repositories.id} order by first.id limit 1)`;

/** What still fits an ETag, and a number. */
const NEWEST_REVISION = 10 ** 15 - 1;

/**
 * Everything the host has to do, signed.
 * @param known the revision it has; when that is the newest, there is no jws in the answer. One that is newer than ours shows that
 *   our database is older than the host's: ours then becomes newer still, since a host takes nothing older than what it has
 */
export async function getAssignment(
  deps: Deps,
  host: Id,
  known: number | null,
): Promise<{ revision: number; jws: string | null }> {
  const { db } = deps;
  const [[row], bound, contracted, stored] = await db.batch([
    db.select({ revision: hosts.revision }).from(hosts).where(eq(hosts.id, host)),
    db
      .select({
        id: bindings.id,
        name: bindings.name,
        contract: bindings.contract,
        repository: bindings.repository,
        paused: bindings.paused,
        settings: bindings.settings,
      })
      .from(bindings)
      .where(eq(bindings.host, host))
      .orderBy(asc(bindings.id)),
    db
      .selectDistinct(getTableColumns(contracts))
      .from(contracts)
      .innerJoin(bindings, eq(bindings.contract, contracts.id))
      .where(eq(bindings.host, host))
      .orderBy(asc(contracts.id)),
    db
      .selectDistinct({ ...getTableColumns(repositories), firstUser })
      .from(repositories)
      .innerJoin(bindings, eq(bindings.repository, repositories.id))
      .where(eq(bindings.host, host))
      .orderBy(asc(repositories.id)),
  ]);
  if (row === undefined) throw notFound("hosts", host);
  if (known !== null && known > row.revision && known < NEWEST_REVISION) {
    await db
      .update(hosts)
      .set({ revision: known + 1 })
      .where(and(eq(hosts.id, host), lt(hosts.revision, known)));
    return getAssignment(deps, host, null);
  }
  if (row.revision === known) return { revision: row.revision, jws: null };
  const jws = await sign(deps.signingKey, "assignment", {
    protocol: 1,
    host,
    revision: row.revision,
    issuedAt: instant(deps.clock.now()),
    contracts: contracted.map(assignedContract),
    repositories: stored.map((repository) => assignedRepository(repository, host)),
    bindings: bound,
  } satisfies Assignment);
  return { revision: row.revision, jws };
}

/** As a host has a contract of its own in its assignment. */
export function assignedContract(row: typeof contracts.$inferSelect): AssignedContract {
  const { id, name, declared } = row;
  return { id, name, declared, ...columnsToBody(row) };
}

/** As a host has a repository in its assignment. */
export function assignedRepository(row: RepositoryRow & { firstUser: Id }, host: Id): AssignedRepository {
  const { id, name, provider, location, passphrase, secrets, ssh, caFile, appendOnly, maintenance } = row;
  const maintains = (row.maintainer ?? row.firstUser) === host;
  const { existing, engineId } = row;
  return {
    id,
    name,
    provider,
    location,
    passphrase,
    secrets,
    ssh,
    caFile,
    appendOnly,
    maintenance,
    existing,
    engineId,
    maintains,
  };
}
