import { type Contract, type ContractBody, DatabaseContract, FilesContract } from "../../../shared/contract.ts";
import type { contracts } from "../../db/schema/contracts.ts";

export type ContractRow = typeof contracts.$inferSelect;
type BodyColumns = Pick<ContractRow, "kind" | "request" | "consistency" | "mountPoints" | "stopForRestore">;

/** A contract's body as columns; the columns of the other kind are empty. */
export function bodyToColumns(body: ContractBody): BodyColumns {
  const nothing = { consistency: [], mountPoints: [], stopForRestore: [] };
  if (body.kind === "databasebackup") {
    const { kind, request, restoreUser } = body;
    return { kind, request: restoreUser === null ? request : { ...request, restoreUser }, ...nothing };
  }
  const { kind, request, consistency, mountPoints, stopForRestore } = body;
  return { kind, request, consistency, mountPoints, stopForRestore };
}

/** A contract's body, from its columns. */
export function columnsToBody(row: BodyColumns): ContractBody {
  const { kind, request, consistency, mountPoints, stopForRestore } = row;
  if (kind === "databasebackup") {
    const { restoreUser = null, ...own } = { restoreUser: undefined, ...request };
    return DatabaseContract.parse({ kind, request: own, restoreUser });
  }
  return FilesContract.parse({ kind, request, consistency, mountPoints, stopForRestore });
}

export function toContract(row: ContractRow): Contract {
  const { id, host, name, declared, undeclaredAt, createdAt, changedAt } = row;
  return { id, host, name, ...columnsToBody(row), declared, undeclaredAt, createdAt, changedAt };
}
