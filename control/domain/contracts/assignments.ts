import type * as z from "zod";
import { and, asc, eq, getTableColumns, lt, sql } from "drizzle-orm";
import {
  type AssignedBinding,
  type AssignedContractInput,
  type AssignedRepository,
  type Assignment,
  MAX_REVISION,
} from "../../../shared/assignment.ts";
import { sentBody } from "../../../shared/contract.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import type { Maintenance } from "../../../shared/repository.ts";
import { sign } from "../../auth/sign.ts";
import { onlyGenuine, requireGenuine } from "../../keys/row-mac.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import type { Deps } from "../../deps.ts";
import { columnsToBody } from "./rows.ts";
import { notFound } from "../errors.ts";
import type { RepositoryRow } from "./repositories.ts";

/** SQL: the host of a repository's oldest binding. It maintains the repository unless another host is named. */
const firstUser = sql<Id>`(select first.host from ${bindings} as first where first.repository = ${repositories.id} order by first.id limit 1)`;

/**
 * The host's signed assignment.
 * @param known the revision the host has; jws is null when it is the newest. A revision newer than ours means that our
 *   database was restored: ours is then raised above it, because a host accepts no older revision
 */
export async function getAssignment(
  deps: Deps,
  host: Id,
  known: number | null,
): Promise<{ revision: number; jws: string | null }> {
  const { db } = deps;
  const [[row], bound, contracted, stored] = await db.batch([
    db.select().from(hosts).where(eq(hosts.id, host)),
    db.select().from(bindings).where(eq(bindings.host, host)).orderBy(asc(bindings.id)),
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
  if (known !== null && known > row.revision && known < MAX_REVISION) {
    await db
      .update(hosts)
      .set({ revision: known + 1 })
      .where(and(eq(hosts.id, host), lt(hosts.revision, known)));
    return getAssignment(deps, host, null);
  }
  if (row.revision === known) return { revision: row.revision, jws: null };
  await requireGenuine(deps, "hosts", row);
  const ours = {
    contracts: (await onlyGenuine(deps, "contracts", contracted)).filter((contract) => contract.host === host),
    repositories: await onlyGenuine(deps, "repositories", stored),
  };
  const isOurs = (rows: readonly { id: Id }[], id: Id): boolean => rows.some((each) => each.id === id);
  // A binding whose contract or repository somebody else wrote is left out with it; its neighbours stay.
  const whole = (await onlyGenuine(deps, "bindings", bound)).filter(
    ({ contract, repository }) => isOurs(ours.contracts, contract) && isOurs(ours.repositories, repository),
  );
  const jws = await sign(deps.signingKey, "assignment", {
    protocol: 1,
    host,
    revision: row.revision,
    issuedAt: instant(deps.clock.now()),
    contracts: ours.contracts.filter(({ id }) => whole.some(({ contract }) => contract === id)).map(assignedContract),
    repositories: ours.repositories
      .filter(({ id }) => whole.some(({ repository }) => repository === id))
      .map((repository) => assignedRepository(repository, host)),
    bindings: whole.map(assignedBinding),
  } satisfies z.input<typeof Assignment>);
  return { revision: row.revision, jws };
}

/** SQL: the host that maintains a repository. */
export const maintainingHost = sql<Id>`coalesce(${repositories.maintainer}, ${firstUser})`;

/** A binding as part of an assignment. */
export function assignedBinding(row: typeof bindings.$inferSelect): AssignedBinding {
  const { id, name, contract, repository, paused, settings } = row;
  const { environment = {}, ...rest } = settings;
  // Agents before 0.2 can't read the key: only those get it that have a use for it.
  const sent = Object.keys(environment).length === 0 ? rest : settings;
  return { id, name, contract, repository, paused, settings: sent };
}

/** A contract as part of an assignment. */
export function assignedContract(row: typeof contracts.$inferSelect): AssignedContractInput {
  const { id, name, declared } = row;
  return { id, name, declared, ...sentBody(columnsToBody(row)) };
}

/** Only the maintainer learns where the credentials are that can remove something. */
function withoutAccess({ access: _access, ...maintenance }: Maintenance): Maintenance {
  return maintenance;
}

/** A repository as part of a host's assignment. */
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
    maintenance: maintains ? maintenance : withoutAccess(maintenance),
    existing,
    engineId,
    maintains,
  };
}
