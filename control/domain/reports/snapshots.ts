import { and, desc, eq, sql } from "drizzle-orm";
import type { Page } from "../../../shared/api.ts";
import { uuidv7, type Id } from "../../../shared/ids.ts";
import type { Snapshot, SnapshotFacts } from "../../../shared/run.ts";
import { snapshots } from "../../db/schema/runs.ts";
import type { Statement } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { isPastCursor, type ListInput, matches, pageOf } from "../page.ts";
import { notFound } from "../errors.ts";

export async function listSnapshots(
  deps: Deps,
  input: ListInput & { host?: Id | undefined; binding?: Id | undefined; repository?: Id | undefined },
): Promise<Page<Snapshot>> {
  const rows = await deps.db
    .select()
    .from(snapshots)
    .where(
      and(
        isPastCursor(snapshots.id, input),
        matches(snapshots.host, input.host),
        matches(snapshots.binding, input.binding),
        matches(snapshots.repository, input.repository),
      ),
    )
    .orderBy(desc(snapshots.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, toSnapshot);
}

/** @param id the provider's full id */
export async function getSnapshot(deps: Deps, id: string): Promise<Snapshot> {
  const [row] = await deps.db
    .select()
    .from(snapshots)
    .where(eq(snapshots.snapshot, id))
    .orderBy(desc(snapshots.id))
    .limit(1);
  if (row === undefined) throw notFound("snapshots", id);
  return toSnapshot(row);
}

/**
 * Makes the stored list of a binding's snapshots equal to the reported one. Always two statements, however long it is.
 * @param made the snapshot that this run created, if any
 */
export function reconcileSnapshots(
  deps: Pick<Deps, "db" | "random">,
  of: { host: Id; binding: Id; repository: Id },
  listed: readonly SnapshotFacts[],
  made: { run: Id; snapshot: string } | null,
): [Statement, Statement] {
  const rows = JSON.stringify(
    listed.map((facts) => ({ ...facts, row: uuidv7(Date.parse(facts.takenAt), deps.random(10)) })),
  );
  const field = (name: string) => sql`json_extract(listed.value, ${`$.${name}`})`;
  const inList = sql`select ${field("id")} from json_each(${rows}) as listed`;
  return [
    deps.db
      .delete(snapshots)
      .where(and(eq(snapshots.binding, of.binding), sql`${snapshots.snapshot} not in (${inList})`)),
    deps.db.run(sql`
      insert into ${snapshots} (id, snapshot, host, binding, repository, run, "takenAt", paths, "bytesTotal")
      select ${field("row")}, ${field("id")}, ${of.host}, ${of.binding}, ${of.repository},
        case when ${field("id")} = ${made?.snapshot ?? null} then ${made?.run ?? null} end,
        ${field("takenAt")}, ${field("paths")}, ${field("bytesTotal")}
      from json_each(${rows}) as listed where true
      on conflict (binding, snapshot) do update set
        run = coalesce(excluded.run, run), paths = excluded.paths, "bytesTotal" = coalesce(excluded."bytesTotal", "bytesTotal")`),
  ];
}

function toSnapshot({
  snapshot,
  host,
  binding,
  repository,
  run,
  takenAt,
  paths,
  bytesTotal,
}: typeof snapshots.$inferSelect): Snapshot {
  return { id: snapshot, host, binding, repository, run, takenAt, paths, bytesTotal };
}
