import { and, eq, inArray, isNull, sql } from "drizzle-orm";
import {
  Settings,
  type Binding,
  type ChangeBinding,
  type CreateBinding,
  type Retention,
} from "../../../shared/binding.ts";
import { Failure } from "../../../shared/failure.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { changeWithMac, guardAsRead, withMac } from "../../keys/row-mac.ts";
import { bindings, repositories } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { newestRuns, orders, runs } from "../../db/schema/runs.ts";
import { violatedUniqueColumns, guard, withRetry, writeAll, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { checkBindable, checkRetention, resolveContract, guardBindable } from "./binding-rules.ts";
import { getBinding } from "./binding-views.ts";
import { newId } from "../ids.ts";
import { closeIncidentsOf } from "../incidents/incidents.ts";
import { restartExpectation } from "../lateness/lateness.ts";
import { declaredOnHost, invalidRequest, notFound, throwIfInUse, throwIfNameTaken } from "../errors.ts";
import { resolveRepository } from "./repositories.ts";
import { bumpHost } from "../revisions.ts";

/** Creates a binding of a contract to a repository, and adds it to the host's assignment. */
export async function createBinding(deps: Deps, input: CreateBinding): Promise<Binding> {
  const id = newId(deps);
  await withRetry(async () => {
    const contract = await resolveContract(deps, input.contract);
    const repository = await resolveRepository(deps, input.repository, ["repository"]);
    checkRetention(repository, input.settings);
    const onlyHost = await checkBindable(deps, contract, repository);
    const name = input.name ?? `${contract.name}-${repository.name}`.slice(0, 63);
    const now = instant(deps.clock.now());
    const row = await withMac(deps, "bindings", {
      id,
      host: contract.host,
      name,
      contract: contract.id,
      repository: repository.id,
      settings: input.settings,
      paused: false,
      declared: false,
      createdAt: now,
    });
    const claimed = await changeWithMac(deps, "repositories", repository, { host: onlyHost });
    const write = writeAll(deps.db, [
      ...guardBindable(deps, contract, repository),
      deps.db.insert(bindings).values({ ...row, labels: input.labels, alertAt: now, changedAt: now }),
      deps.db.update(repositories).set(claimed).where(eq(repositories.id, repository.id)),
      bumpHost(deps, contract.host),
    ]);
    await throwIfNameTaken("bindings", name, throwIfAlreadyBound(contract.name, repository.name, write));
    await deps.hub.poke(contract.host, "assignment");
  });
  return getBinding(deps, id);
}

/** Changes name, labels and settings; contract and repository can't be changed. */
export async function changeBinding(deps: Deps, id: Id, change: ChangeBinding): Promise<Binding> {
  if (change.settings?.retention !== undefined) await checkRetentionOf(deps, id, change.settings.retention);
  return write(deps, id, (old) => ({
    ...old,
    name: change.name ?? old.name,
    labels: change.labels ?? old.labels,
    settings: change.settings === undefined ? old.settings : merged(old.settings, change.settings),
  }));
}

/** Stops the schedule until it is resumed. A running run continues, and runs can still be ordered. */
export async function pauseBinding(deps: Deps, id: Id): Promise<Binding> {
  return write(deps, id, (old) => ({ ...old, paused: true }));
}

export async function resumeBinding(deps: Deps, id: Id): Promise<Binding> {
  return write(deps, id, (old) => ({ ...old, paused: false }));
}

/**
 * Deletes the binding from its host's assignment. Its runs and snapshots stay, here and in the repository. Throws
 * `bindings.in_use` while it has unfinished runs, except on a revoked host, which never reports them.
 */
export async function deleteBinding(deps: Deps, id: Id): Promise<void> {
  const binding = await getBinding(deps, id);
  if (binding.declared) throw declaredOnHost("bindings", binding.name);
  const working = deps.db.select({ id: hosts.id }).from(hosts).where(isNull(hosts.revokedAt));
  const busy = and(eq(runs.binding, id), inArray(runs.state, ["queued", "running"]), inArray(runs.host, working));
  await withRetry(async () => {
    const unfinished = await deps.db.select({ id: runs.id, kind: runs.kind, state: runs.state }).from(runs).where(busy);
    throwIfInUse(
      "bindings",
      binding.name,
      unfinished.map((run) => ({ noun: "runs" as const, id: run.id, name: `${run.kind}, ${run.state}` })),
    );
    await writeAll(deps.db, [
      guard(deps.db, sql`not exists (select 1 from ${runs} where ${busy})`),
      deps.db
        .update(orders)
        .set({ closedAt: instant(deps.clock.now()) })
        .where(and(eq(orders.binding, id), isNull(orders.closedAt))),
      deps.db.delete(bindings).where(eq(bindings.id, id)),
      deps.db.delete(newestRuns).where(eq(newestRuns.subject, id)),
      closeIncidentsOf(deps, "binding", id),
      bumpHost(deps, binding.host),
    ]);
  });
  await deps.hub.poke(binding.host, "assignment");
}

type Changeable = Pick<Binding, "name" | "labels" | "settings" | "paused">;

/** From the row that is guarded: what else is shown may be newer. */
function changeableOf({ name, labels, settings, paused, declared, undeclaredAt }: typeof bindings.$inferSelect) {
  return { name, labels, settings, paused, declared, undeclaredAt };
}

async function write(deps: Deps, id: Id, change: (old: Changeable) => Changeable): Promise<Binding> {
  return withRetry(async () => {
    const stored = await findBindingRow(deps, id);
    const old = { ...(await getBinding(deps, id)), ...changeableOf(stored) };
    const { name, labels, settings, paused } = change(old);
    if (old.declared && (name !== old.name || settings !== old.settings)) throw declaredOnHost("bindings", old.name);
    const isAssigned = name !== old.name || paused !== old.paused || !isSame(settings, old.settings);
    if (!isAssigned && isSame(labels, old.labels)) return old;
    const changedAt = instant(deps.clock.now());
    const undeclaredAt = name === old.name && settings === old.settings ? old.undeclaredAt : null;
    const changed = { name, labels, settings, paused, undeclaredAt, changedAt };
    const row = await changeWithMac(deps, "bindings", stored, changed);
    const unchanged = and(eq(bindings.id, id), eq(bindings.labels, old.labels));
    const statements: Statement[] = [
      guardAsRead(deps, "bindings", stored),
      guard(deps.db, sql`exists (select 1 from ${bindings} where ${unchanged})`),
      deps.db.update(bindings).set(row).where(eq(bindings.id, id)),
      ...restartExpectation(deps, { old, now: { id, host: old.host, settings, paused } }),
      ...(isAssigned ? [bumpHost(deps, old.host)] : []),
    ];
    await throwIfNameTaken("bindings", name, writeAll(deps.db, statements));
    if (isAssigned) await deps.hub.poke(old.host, "assignment");
    return getBinding(deps, id);
  });
}

async function checkRetentionOf(deps: Deps, id: Id, retention: Retention): Promise<void> {
  const [repository] = await deps.db
    .select({ provider: repositories.provider })
    .from(bindings)
    .innerJoin(repositories, eq(repositories.id, bindings.repository))
    .where(eq(bindings.id, id));
  if (repository !== undefined) checkRetention(repository, { retention });
}

async function findBindingRow(deps: Deps, id: Id): Promise<typeof bindings.$inferSelect> {
  const [row] = await deps.db.select().from(bindings).where(eq(bindings.id, id));
  if (row === undefined) throw notFound("bindings", id);
  return row;
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function merged(old: Settings, change: NonNullable<ChangeBinding["settings"]>): Settings {
  const timer = Object.entries({ ...old.timerConfig, ...change.timerConfig });
  const parsed = Settings.safeParse({
    ...old,
    ...change,
    timerConfig: Object.fromEntries(timer.filter(([, value]) => value !== null)),
    performance: { ...old.performance, ...change.performance },
    shrinkage: { ...old.shrinkage, ...change.shrinkage },
    alerts: { ...old.alerts, ...change.alerts },
  });
  if (parsed.success) return parsed.data;
  // Each key is valid, but not all of them together.
  const [issue] = parsed.error.issues;
  const path = (issue?.path ?? []).filter((part) => typeof part !== "symbol");
  throw invalidRequest(["settings", ...path], issue?.message ?? "is not valid");
}

async function throwIfAlreadyBound<T>(contract: string, repository: string, write: Promise<T>): Promise<T> {
  try {
    return await write;
  } catch (error) {
    if (!violatedUniqueColumns(error).includes("bindings.repository")) throw error;
    const message = `contract "${contract}" is bound to repository "${repository}" already; change that binding, or choose another repository`;
    throw new Failure("bindings.already_bound", message, [{ path: ["repository"], message }]);
  }
}
