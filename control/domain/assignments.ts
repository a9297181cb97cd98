import { asc, eq } from "drizzle-orm";
import { instant, type Id } from "../../shared/ids.ts";
import { sign } from "../auth/sign.ts";
import { bindings, contracts, hosts, repositories } from "../db/schema.ts";
import type { Deps } from "../deps.ts";
import { notFound } from "./refusals.ts";

/**
 * Everything the host has to do, signed.
 * @param known the revision it has; when that is the newest, there is no jws in the answer
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
      .selectDistinct({ id: contracts.id, name: contracts.name, kind: contracts.kind, request: contracts.request })
      .from(contracts)
      .innerJoin(bindings, eq(bindings.contract, contracts.id))
      .where(eq(bindings.host, host))
      .orderBy(asc(contracts.id)),
    db
      .selectDistinct({
        id: repositories.id,
        name: repositories.name,
        provider: repositories.provider,
        location: repositories.location,
        passphrase: repositories.passphrase,
        secrets: repositories.secrets,
        existing: repositories.existing,
        engineId: repositories.engineId,
      })
      .from(repositories)
      .innerJoin(bindings, eq(bindings.repository, repositories.id))
      .where(eq(bindings.host, host))
      .orderBy(asc(repositories.id)),
  ]);
  if (row === undefined) throw notFound("hosts", host);
  if (row.revision === known) return { revision: row.revision, jws: null };
  const jws = await sign(deps.signingKey, "assignment", {
    protocol: 1,
    host,
    revision: row.revision,
    issuedAt: instant(deps.clock.now()),
    contracts: contracted,
    repositories: stored,
    bindings: bound,
  });
  return { revision: row.revision, jws };
}
