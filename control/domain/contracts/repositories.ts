import { and, desc, eq, sql } from "drizzle-orm";
import type { Page } from "../../../shared/api.ts";
import { Id, instant } from "../../../shared/ids.ts";
import { isLocalLocation } from "../../../shared/location.ts";
import type { ChangeRepository, CreateRepository, Repository } from "../../../shared/repository.ts";
import { changeWithMac, guardAsRead, requireGenuine, withMac } from "../../keys/row-mac.ts";
import { bindings, repositories } from "../../db/schema/contracts.ts";
import { newestRuns, snapshots } from "../../db/schema/runs.ts";
import { guard, withRetry, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { resolveHost } from "../hosts/hosts.ts";
import { newId } from "../ids.ts";
import { closeIncidentsOf } from "../incidents/incidents.ts";
import { isPastCursor, type ListInput, matches, pageOf } from "../page.ts";
import { declaredOnHost, invalidRequest, notFound, throwIfInUse, throwIfNameTaken } from "../errors.ts";
import { bumpHostsOfRepository, pokeHostsOfRepository } from "../revisions.ts";

export type RepositoryRow = typeof repositories.$inferSelect;

export async function createRepository(deps: Deps, input: CreateRepository): Promise<Repository> {
  const now = instant(deps.clock.now());
  const { maintainer: wanted, ...spec } = input;
  const maintainer = wanted === null ? null : (await resolveHost(deps, wanted, ["maintainer"])).id;
  const known = { id: newId(deps), declared: false, undeclaredAt: null, engineId: null, host: null };
  const filled = { ...spec, ...known, maintainer, createdAt: now, changedAt: now };
  const row: RepositoryRow = await withMac(deps, "repositories", filled);
  await throwIfNameTaken("repositories", input.name, deps.db.insert(repositories).values(row));
  return toRepository(row);
}

export async function listRepositories(
  deps: Deps,
  input: ListInput & { name?: string | undefined },
): Promise<Page<Repository>> {
  const rows = await deps.db
    .select()
    .from(repositories)
    .where(and(isPastCursor(repositories.id, input), matches(repositories.name, input.name)))
    .orderBy(desc(repositories.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, toRepository);
}

export async function getRepository(deps: Deps, id: Id): Promise<Repository> {
  return toRepository(await findRepository(deps, id));
}

export async function changeRepository(deps: Deps, id: Id, change: ChangeRepository): Promise<Repository> {
  const changed = await withRetry(async () => {
    const old = await findRepository(deps, id);
    if (old.declared) throw declaredOnHost("repositories", old.name);
    if (change.passphrase !== undefined && "generate" in old.passphrase) {
      const message = `the passphrase of repository "${old.name}" was made on its host, which keeps it: it can't come from elsewhere`;
      throw invalidRequest(["passphrase"], message);
    }
    const maintainer = await maintainerOf(deps, old, change.maintainer);
    const next = { ...changeableOf(old), ...given(change), maintainer };
    const { name } = next;
    if (JSON.stringify(next) === JSON.stringify({ ...changeableOf(old), maintainer: old.maintainer })) return old;
    const changedAt = instant(deps.clock.now());
    const row = await changeWithMac(deps, "repositories", old, { ...next, undeclaredAt: null, changedAt });
    const write = writeAll(deps.db, [
      guardAsRead(deps, "repositories", old),
      deps.db.update(repositories).set(row).where(eq(repositories.id, id)),
      bumpHostsOfRepository(deps, id),
    ]);
    await throwIfNameTaken("repositories", name, write);
    await pokeHostsOfRepository(deps, id);
    return { ...old, ...row };
  });
  return toRepository(changed);
}

/** Deletes a repository without bindings, and the list of its snapshots. The stored data stays where it is. */
export async function deleteRepository(deps: Deps, id: Id): Promise<void> {
  const repository = await findRepository(deps, id);
  if (repository.declared) throw declaredOnHost("repositories", repository.name);
  await withRetry(async () => {
    const bound = await deps.db
      .select({ id: bindings.id, name: bindings.name })
      .from(bindings)
      .where(eq(bindings.repository, id));
    throwIfInUse(
      "repositories",
      repository.name,
      bound.map((row) => ({ noun: "bindings" as const, ...row })),
    );
    await writeAll(deps.db, [
      guard(deps.db, sql`not exists (select 1 from ${bindings} where ${bindings.repository} = ${id})`),
      deps.db.delete(snapshots).where(eq(snapshots.repository, id)),
      deps.db.delete(repositories).where(eq(repositories.id, id)),
      deps.db.delete(newestRuns).where(eq(newestRuns.subject, id)),
      closeIncidentsOf(deps, "repository", id),
    ]);
  });
}

/**
 * Finds the repository a request's body names. Throws `request.invalid` when there is none.
 * @param reference id or name
 */
export async function resolveRepository(deps: Deps, reference: string, path: string[]): Promise<RepositoryRow> {
  const column = Id.safeParse(reference).success ? repositories.id : repositories.name;
  const [row] = await deps.db.select().from(repositories).where(eq(column, reference));
  if (row === undefined)
    throw invalidRequest(path, `there is no repository "${reference}"; give the id or name of one that exists`);
  await requireGenuine(deps, "repositories", row);
  return row;
}

/** Whether the repository is a directory on a host's own disk. */
export function isLocal(repository: Pick<Repository, "location">): boolean {
  return isLocalLocation(repository.location);
}

/** @param wanted undefined: unchanged; null: the host of the first binding */
async function maintainerOf(deps: Deps, old: RepositoryRow, wanted: string | null | undefined): Promise<Id | null> {
  if (wanted === undefined) return old.maintainer;
  return wanted === null ? null : (await resolveHost(deps, wanted, ["maintainer"])).id;
}

type Changeable = Pick<
  RepositoryRow,
  "name" | "passphrase" | "secrets" | "ssh" | "caFile" | "appendOnly" | "maintenance"
>;

function changeableOf(row: RepositoryRow): Changeable {
  const { name, passphrase, secrets, ssh, caFile, appendOnly, maintenance } = row;
  return { name, passphrase, secrets, ssh, caFile, appendOnly, maintenance };
}

function given({ maintainer: _maintainer, ...change }: ChangeRepository): Partial<Changeable> {
  return Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
}

async function findRepository(deps: Deps, id: Id): Promise<RepositoryRow> {
  const [row] = await deps.db.select().from(repositories).where(eq(repositories.id, id));
  if (row === undefined) throw notFound("repositories", id);
  return row;
}

function toRepository({ host: _onlyHost, mac: _mac, ...repository }: RepositoryRow): Repository {
  return repository;
}
