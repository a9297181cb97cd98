import { and, asc, eq } from "drizzle-orm";
import type { ForgetRequest } from "../../../shared/api.ts";
import { Failure } from "../../../shared/failure.ts";
import type { Id } from "../../../shared/ids.ts";
import type { Run } from "../../../shared/run.ts";
import { requireGenuine } from "../../keys/row-mac.ts";
import { bindings, repositories } from "../../db/schema/contracts.ts";
import { runs } from "../../db/schema/runs.ts";
import type { Deps } from "../../deps.ts";
import { orderRun } from "./orders.ts";
import { notFound } from "../errors.ts";
import { runSummary } from "./runs.ts";

/** Orders a run of the binding's retention. @param dryRun only report what it would remove */
export async function forgetBinding(deps: Deps, id: Id, { dryRun }: ForgetRequest): Promise<Run> {
  const { host, repository } = await findBound(deps, id);
  if (!dryRun) await throwIfAppendOnly(deps, repository);
  return await orderRun(deps, { kind: "forget", host, binding: id, repository, dryRun });
}

/** Orders a check of the binding's repository. */
export async function checkBinding(deps: Deps, id: Id): Promise<Run> {
  const { repository } = await findBound(deps, id);
  return await orderUpkeep(deps, repository, "check");
}

/** Orders a prune or check of a repository from the host that maintains it. */
export async function orderUpkeep(deps: Deps, id: Id, kind: "prune" | "check"): Promise<Run> {
  if (kind === "prune") await throwIfAppendOnly(deps, id);
  const host = await maintainerOf(deps, id);
  // When one is queued already, no second one is queued.
  const waiting = and(eq(runs.repository, id), eq(runs.kind, kind), eq(runs.state, "queued"));
  const [queued] = await deps.db.select(runSummary).from(runs).where(waiting).limit(1);
  if (queued === undefined) return await orderRun(deps, { kind, host, binding: null, repository: id });
  await deps.hub.poke(host, "orders");
  return queued;
}

async function findBound(deps: Deps, id: Id): Promise<{ host: Id; repository: Id }> {
  const [bound] = await deps.db
    .select({ host: bindings.host, repository: bindings.repository })
    .from(bindings)
    .where(eq(bindings.id, id));
  if (bound === undefined) throw notFound("bindings", id);
  return bound;
}

async function findRepository(deps: Deps, id: Id): Promise<typeof repositories.$inferSelect> {
  const [repository] = await deps.db.select().from(repositories).where(eq(repositories.id, id));
  if (repository === undefined) throw notFound("repositories", id);
  await requireGenuine(deps, "repositories", repository);
  return repository;
}

async function throwIfAppendOnly(deps: Deps, id: Id): Promise<void> {
  const { name, appendOnly } = await findRepository(deps, id);
  if (!appendOnly) return;
  throw new Failure(
    "request.conflict",
    `repository "${name}" is append-only for its hosts: remove old snapshots and prune where it may be written (docs/retention.md)`,
  );
}

/** The host that maintains the repository. It must have a binding to it, because runs use a binding's credentials. */
async function maintainerOf(deps: Deps, id: Id): Promise<Id> {
  const { name, maintainer } = await findRepository(deps, id);
  const isMaintainers = maintainer === null ? undefined : eq(bindings.host, maintainer);
  const [first] = await deps.db
    .select({ host: bindings.host })
    .from(bindings)
    .where(and(eq(bindings.repository, id), isMaintainers))
    .orderBy(asc(bindings.id))
    .limit(1);
  if (first !== undefined) return first.host;
  throw new Failure(
    "request.conflict",
    maintainer === null
      ? `no binding has repository "${name}", so no host can do it: bind a contract to it first`
      : `the host that maintains repository "${name}" has no binding to it: bind one there, or name another maintainer`,
  );
}
