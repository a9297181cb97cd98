import { and, asc, eq, getTableColumns } from "drizzle-orm";
import type { ForgetRequest } from "../../../shared/api.ts";
import { Failure } from "../../../shared/failure.ts";
import type { Id } from "../../../shared/ids.ts";
import { keepsEverything } from "../../../shared/retention.ts";
import type { Run } from "../../../shared/run.ts";
import { requireGenuine } from "../../keys/row-mac.ts";
import type { ForeignBindingInput } from "../../../shared/assignment.ts";
import { assignedBinding, assignedContract, assignedRepository } from "../contracts/assignments.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { runs } from "../../db/schema/runs.ts";
import type { Deps } from "../../deps.ts";
import { orderRun } from "./orders.ts";
import { notFound } from "../errors.ts";
import { runSummary } from "./runs.ts";

/** Orders a run of the binding's retention. @param dryRun only report what it would remove */
export async function forgetBinding(deps: Deps, id: Id, { dryRun }: ForgetRequest): Promise<Run> {
  const bound = await findBound(deps, id);
  const { host, repository } = bound;
  const order = { kind: "forget" as const, binding: id, repository: repository.id, dryRun };
  if (!repository.appendOnly || dryRun) return await orderRun(deps, { ...order, host: host.id, from: null });
  throwIfAppendOnly(repository);
  // Only the maintainer has the access with which something can be removed.
  const maintainer = await maintainerOf(deps, repository.id);
  const from = maintainer === host.id ? null : foreignBinding(bound, maintainer);
  return await orderRun(deps, { ...order, host: maintainer, from });
}

/**
 * After a good backup to an append-only repository: orders its retention from the host that maintains it, if that has
 * the access to remove something. A host that maintains it itself does that without an order.
 */
export async function forgetAfterBackup(deps: Deps, id: Id): Promise<void> {
  const bound = await findBound(deps, id);
  const { binding, repository, host } = bound;
  if (repository.maintenance.access === undefined || keepsEverything(binding.settings.retention)) return;
  const waiting = and(eq(runs.binding, id), eq(runs.kind, "forget"), eq(runs.state, "queued"));
  const [queued] = await deps.db.select({ id: runs.id }).from(runs).where(waiting).limit(1);
  const maintainer = await maintainerOf(deps, repository.id);
  if (queued === undefined && maintainer !== host.id) await forgetBinding(deps, id, { dryRun: false });
}

/** Orders a check of the binding's repository. */
export async function checkBinding(deps: Deps, id: Id): Promise<Run> {
  const { repository } = await findBound(deps, id);
  return await orderUpkeep(deps, repository.id, "check");
}

/** Orders a prune or check of a repository from the host that maintains it. */
export async function orderUpkeep(deps: Deps, id: Id, kind: "prune" | "check"): Promise<Run> {
  if (kind === "prune") throwIfAppendOnly(await findRepository(deps, id));
  const host = await maintainerOf(deps, id);
  // When one is queued already, no second one is queued.
  const waiting = and(eq(runs.repository, id), eq(runs.kind, kind), eq(runs.state, "queued"));
  const [queued] = await deps.db.select(runSummary).from(runs).where(waiting).limit(1);
  if (queued === undefined) return await orderRun(deps, { kind, host, binding: null, repository: id });
  await deps.hub.poke(host, "orders");
  return queued;
}

type Bound = Awaited<ReturnType<typeof findBound>>;

async function findBound(deps: Deps, id: Id) {
  const [bound] = await deps.db
    .select({
      binding: getTableColumns(bindings),
      contract: getTableColumns(contracts),
      repository: getTableColumns(repositories),
      host: { id: bindings.host },
    })
    .from(bindings)
    .innerJoin(contracts, eq(contracts.id, bindings.contract))
    .innerJoin(repositories, eq(repositories.id, bindings.repository))
    .where(eq(bindings.id, id));
  if (bound === undefined) throw notFound("bindings", id);
  // All of it may go into the order.
  await requireGenuine(deps, "bindings", bound.binding);
  await requireGenuine(deps, "contracts", bound.contract);
  await requireGenuine(deps, "repositories", bound.repository);
  return bound;
}

/** What the maintainer has to know of another host's binding. It uses its own repository, user and passphrase. */
function foreignBinding({ binding, contract, repository, host }: Bound, maintainer: Id): ForeignBindingInput {
  return {
    host: host.id,
    binding: assignedBinding(binding),
    contract: { ...assignedContract(contract), declared: false },
    repository: assignedRepository({ ...repository, firstUser: maintainer }, maintainer),
  };
}

async function findRepository(deps: Deps, id: Id): Promise<typeof repositories.$inferSelect> {
  const [repository] = await deps.db.select().from(repositories).where(eq(repositories.id, id));
  if (repository === undefined) throw notFound("repositories", id);
  await requireGenuine(deps, "repositories", repository);
  return repository;
}

function throwIfAppendOnly({ name, appendOnly, maintenance }: typeof repositories.$inferSelect): void {
  if (!appendOnly || maintenance.access !== undefined) return;
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
