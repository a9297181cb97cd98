import { getTableColumns, inArray } from "drizzle-orm";
import type { AssignedRepository } from "../../../shared/assignment.ts";
import { repositories } from "../../db/schema/contracts.ts";
import type { Deps } from "../../deps.ts";
import { invalidRequest } from "../errors.ts";

/**
 * The repositories of these names, as an assignment describes them: what the line of installation grants.
 * @throws Failure that names the first one that does not exist
 */
export async function findRepositories(
  { db }: Pick<Deps, "db">,
  names: readonly string[],
): Promise<AssignedRepository[]> {
  if (names.length === 0) return [];
  const { mac: _mac, host: _host, maintainer: _maintainer, ...columns } = getTableColumns(repositories);
  const rows = await db
    .select(columns)
    .from(repositories)
    .where(inArray(repositories.name, [...names]));
  return names.map((name, index) => {
    const row = rows.find((each) => each.name === name);
    if (row === undefined) {
      throw invalidRequest(["repositories", index], `there is no repository "${name}": make it first`);
    }
    const {
      declared: _declared,
      undeclaredAt: _undeclaredAt,
      createdAt: _createdAt,
      changedAt: _changedAt,
      ...spec
    } = row;
    return { ...spec, maintains: false };
  });
}
