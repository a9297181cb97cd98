import { and, desc, eq, inArray, ne, sql } from "drizzle-orm";
import type { Page } from "../../../shared/api.ts";
import { DatabaseContract, FilesContract } from "../../../shared/contract.ts";
import type { ChangeContract, Contract, ContractBody, CreateContract } from "../../../shared/contract.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { changeWithMac, guardAsRead, withMac } from "../../keys/row-mac.ts";
import { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { guard, withRetry, writeAll, type Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { bodyFromCatalog } from "./catalog.ts";
import { type HostRow, resolveHost } from "../hosts/hosts.ts";
import { newId } from "../ids.ts";
import { isPastCursor, type ListInput, matches, pageOf } from "../page.ts";
import { declaredOnHost, invalidRequest, notFound, throwIfInUse, throwIfNameTaken } from "../errors.ts";
import { bumpHostOfContract } from "../revisions.ts";
import { bodyToColumns, columnsToBody, type ContractRow, toContract } from "./rows.ts";

/** Creates a contract. @param also more statements for the same batch */
export async function createContract(
  deps: Deps,
  input: CreateContract,
  also: (contract: Id) => Statement[] = () => [],
): Promise<Contract> {
  const host = await resolveHost(deps, input.host, ["host"]);
  const { name, body, userAt } = bodyFromInput(input);
  await checkUser(deps, host, body.request.user, userAt);
  await checkRestoreUser(deps, host, body);
  const now = instant(deps.clock.now());
  const known = {
    id: newId(deps),
    host: host.id,
    name,
    declared: false,
    undeclaredAt: null,
    createdAt: now,
    changedAt: now,
  };
  const row: ContractRow = await withMac(deps, "contracts", { ...known, ...bodyToColumns(body) });
  const write = writeAll(deps.db, [...also(row.id), deps.db.insert(contracts).values(row)]);
  await throwIfNameTaken("contracts", name, write);
  return toContract(row);
}

export async function listContracts(
  deps: Deps,
  input: ListInput & { host?: Id | undefined; name?: string | undefined },
): Promise<Page<Contract>> {
  const rows = await deps.db
    .select()
    .from(contracts)
    .where(
      and(isPastCursor(contracts.id, input), matches(contracts.host, input.host), matches(contracts.name, input.name)),
    )
    .orderBy(desc(contracts.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, toContract);
}

export async function getContract(deps: Deps, id: Id): Promise<Contract> {
  return toContract(await findRow(deps, id));
}

/** Changes a contract, and with it all its bindings. */
export async function changeContract(deps: Deps, id: Id, change: ChangeContract): Promise<Contract> {
  return withRetry(async () => {
    const old = await findRow(deps, id);
    if (old.declared) throw declaredOnHost("contracts", old.name);
    const { name = old.name, ...bodyChange } = change;
    const oldBody = columnsToBody(old);
    const body = changedBody(oldBody, bodyChange);
    if (name === old.name && JSON.stringify(body) === JSON.stringify(oldBody)) return toContract(old);
    const { user } = body.request;
    if (user !== old.request.user) await checkNewUser(deps, old, user);
    if ("restoreUser" in bodyChange) await checkNewRestoreUser(deps, old, body);
    const changed = await changeWithMac(deps, "contracts", old, {
      name,
      ...bodyToColumns(body),
      undeclaredAt: null,
      changedAt: instant(deps.clock.now()),
    });
    const write = writeAll(deps.db, [
      guardAsRead(deps, "contracts", old),
      deps.db.update(contracts).set(changed).where(eq(contracts.id, id)),
      bumpHostOfContract(deps, old.host, id),
    ]);
    await throwIfNameTaken("contracts", name, write);
    await deps.hub.poke(old.host, "assignment");
    return toContract({ ...old, ...changed });
  });
}

export async function deleteContract(deps: Deps, id: Id): Promise<void> {
  const contract = await getContract(deps, id);
  if (contract.declared) throw declaredOnHost("contracts", contract.name);
  await withRetry(async () => {
    const bound = await deps.db
      .select({ id: bindings.id, name: bindings.name })
      .from(bindings)
      .where(eq(bindings.contract, id));
    throwIfInUse(
      "contracts",
      contract.name,
      bound.map((row) => ({ noun: "bindings" as const, ...row })),
    );
    await writeAll(deps.db, [
      guard(deps.db, sql`not exists (select 1 from ${bindings} where ${bindings.contract} = ${id})`),
      deps.db.delete(contracts).where(eq(contracts.id, id)),
    ]);
  });
}

async function findRow(deps: Deps, id: Id): Promise<ContractRow> {
  const [row] = await deps.db.select().from(contracts).where(eq(contracts.id, id));
  if (row === undefined) throw notFound("contracts", id);
  return row;
}

/**
 * Applies a change to a contract's body. Throws `request.invalid` that names a key the contract's kind does not have.
 */
function changedBody(old: ContractBody, change: Omit<ChangeContract, "name">): ContractBody {
  const schema = old.kind === "files" ? FilesContract : DatabaseContract;
  const parsed = schema.safeParse({ ...old, ...change });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = (issue?.path ?? []).filter((part) => typeof part !== "symbol");
  const keys = issue?.code === "unrecognized_keys" ? issue.keys.join(", ") : null;
  throw invalidRequest(
    path,
    keys === null ? (issue?.message ?? "is not valid") : `a contract of kind "${old.kind}" has no ${keys}`,
  );
}

/** The contract's body, given directly or from the catalogue, and the path of its user for errors. */
function bodyFromInput(input: CreateContract): { name: string; body: ContractBody; userAt: string[] } {
  if (!("fromCatalog" in input)) return { name: input.name, body: input, userAt: ["request", "user"] };
  return { name: input.name ?? input.fromCatalog, body: bodyFromCatalog(input), userAt: ["params", "user"] };
}

/**
 * Throws `request.invalid` for a user that the host does not have, or that its agent can't become without root. Facts
 * may be half an hour old, so the host is asked; what nobody can say now is left to the run.
 */
async function checkUser(deps: Deps, host: HostRow, user: string, path: string[] = ["request", "user"]): Promise<void> {
  const { facts, name } = host;
  if (facts === null) return;
  if (facts.runsAs !== "root" && facts.runsAs !== user) {
    throw invalidRequest(
      path,
      `the agent of host "${name}" runs as "${facts.runsAs}", not as root: the user must be "${facts.runsAs}"`,
    );
  }
  if (facts.users.length === 0 || facts.users.includes(user)) return;
  const exists = await deps.hub.ask(host.id, { user });
  if (exists === true) return;
  if (exists === false) {
    throw invalidRequest(path, `host "${name}" has no user "${user}"; create the user there, or name one that exists`);
  }
  // The facts have names only.
  const isNumber = /^\d+$/.test(user);
  if (host.connectionId === null || isNumber) return;
  // An older agent sends its facts after each pull.
  await deps.hub.poke(host.id, "assignment");
  throw invalidRequest(
    path,
    `host "${name}" has no user "${user}" by its last facts, and its agent did not answer whether that is still so; its facts were asked for: try again in a moment, or name a user that exists`,
  );
}

async function checkRestoreUser(deps: Deps, host: HostRow, body: ContractBody): Promise<void> {
  if (body.kind === "files" || body.restoreUser === null) return;
  await checkUser(deps, host, body.restoreUser, ["restoreUser"]);
}

async function checkNewRestoreUser(deps: Deps, contract: ContractRow, body: ContractBody): Promise<void> {
  const [host] = await deps.db.select().from(hosts).where(eq(hosts.id, contract.host));
  if (host !== undefined) await checkRestoreUser(deps, host, body);
}

async function checkNewUser(deps: Deps, contract: ContractRow, user: string): Promise<void> {
  const [host] = await deps.db.select().from(hosts).where(eq(hosts.id, contract.host));
  if (host !== undefined) await checkUser(deps, host, user);
  const mine = deps.db
    .select({ repository: bindings.repository })
    .from(bindings)
    .where(eq(bindings.contract, contract.id));
  const [other] = await deps.db
    .select({ repository: repositories.name, contract: contracts.name })
    .from(bindings)
    .innerJoin(repositories, eq(repositories.id, bindings.repository))
    .innerJoin(contracts, eq(contracts.id, bindings.contract))
    .where(
      and(
        inArray(bindings.repository, mine),
        ne(bindings.contract, contract.id),
        sql`${repositories.location} like '/%'`,
        sql`json_extract(${contracts.request}, '$.user') <> ${user}`,
      ),
    )
    .limit(1);
  if (other === undefined) return;
  throw invalidRequest(
    ["request", "user"],
    `repository "${other.repository}" is a local directory that contract "${other.contract}" uses as another user; ` +
      `"${user}" could not read its files: bind one of them to a repository of its own`,
  );
}
