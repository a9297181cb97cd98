import { eq } from "drizzle-orm";
import type { CreateRestore } from "../../shared/api.ts";
import { Id } from "../../shared/ids.ts";
import type { Run } from "../../shared/run.ts";
import { bindings } from "../db/schema.ts";
import type { Deps } from "../deps.ts";
import { orderRun } from "./orders.ts";
import { invalid } from "./refusals.ts";

/** Orders a restore. Whether the snapshot is there is the host's to say: the list here may be older than the repository. */
export async function createRestore(
  deps: Deps,
  { binding: reference, host: _elsewhere, passphrase: _there, ...restore }: CreateRestore,
): Promise<Run> {
  const column = Id.safeParse(reference).success ? bindings.id : bindings.name;
  const [binding, another] = await deps.db
    .select({ id: bindings.id, host: bindings.host, repository: bindings.repository })
    .from(bindings)
    .where(eq(column, reference))
    .limit(2);
  if (binding === undefined)
    throw invalid(["binding"], `there is no binding "${reference}"; give the id or name of one that exists`);
  if (another !== undefined) throw invalid(["binding"], `several hosts have a binding "${reference}"; give its id`);
  const { id, host, repository } = binding;
  return orderRun(deps, { host, binding: id, repository, kind: "restore", restore, from: null });
}
