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
 * Makes the stored list of a binding's snapshots equal to the reported one. A list that is as it was costs nothing, and
 * one that has only the snapshot more that the run made costs one row: `listChecksum` shows that. Others are compared.
 * @param made the snapshot that this run created, if any
 */
export function planSnapshots(
  deps: Pick<Deps, "db" | "random">,
  of: { host: Id; binding: Id; repository: Id; listChecksum: string | null },
  listed: readonly SnapshotFacts[],
  made: { run: Id; snapshot: string } | null,
): { listChecksum: string; statements: Statement[] } {
  const added = listed.filter(({ id }) => id === made?.snapshot);
  const sum = sumOf(listed);
  const listChecksum = String(sum);
  const isKnown = [sum, sum - sumOf(added)].map((one) => String(one)).includes(of.listChecksum ?? "");
  if (!isKnown) return { listChecksum, statements: [removeUnlisted(deps, of, listed), save(deps, of, listed, made)] };
  return { listChecksum, statements: added.length === 0 ? [] : [save(deps, of, added, made)] };
}

function removeUnlisted({ db }: Pick<Deps, "db">, of: { binding: Id }, listed: readonly SnapshotFacts[]): Statement {
  const ids = sql`select value from json_each(${JSON.stringify(listed.map(({ id }) => id))})`;
  return db.delete(snapshots).where(and(eq(snapshots.binding, of.binding), sql`${snapshots.snapshot} not in (${ids})`));
}

/** Writes those that are new or changed. */
function save(
  deps: Pick<Deps, "db" | "random">,
  of: { host: Id; binding: Id; repository: Id },
  listed: readonly SnapshotFacts[],
  made: { run: Id; snapshot: string } | null,
): Statement {
  const rows = JSON.stringify(
    listed.map((facts) => ({ ...facts, row: uuidv7(Date.parse(facts.takenAt), deps.random(10)) })),
  );
  const field = (name: string) => sql`json_extract(listed.value, ${`$.${name}`})`;
  return deps.db.run(sql`
    insert into ${snapshots} (id, snapshot, host, binding, repository, run, "takenAt", paths, "bytesTotal")
    select ${field("row")}, ${field("id")}, ${of.host}, ${of.binding}, ${of.repository},
      case when ${field("id")} = ${made?.snapshot ?? null} then ${made?.run ?? null} end,
      ${field("takenAt")}, ${field("paths")}, ${field("bytesTotal")}
    from json_each(${rows}) as listed where true
    on conflict (binding, snapshot) do update set
      run = coalesce(excluded.run, run), paths = excluded.paths, "bytesTotal" = coalesce(excluded."bytesTotal", "bytesTotal")
    where excluded.run is not null or paths <> excluded.paths or "bytesTotal" is not coalesce(excluded."bytesTotal", "bytesTotal")`);
}

/** The same for the same list in any order, below 2^53. No secret: a host can only mistake its own list. */
function sumOf(listed: readonly SnapshotFacts[]): number {
  let sum = 0;
  for (const { id, takenAt, paths, bytesTotal } of listed)
    sum += hashOf(`${id} ${takenAt} ${bytesTotal} ${paths.join("\0")}`);
  return sum;
}

/** Of a text, below 2^39: a list has at most 10,000 (2^14) snapshots. */
function hashOf(text: string): number {
  // FNV-1a over UTF-16 code units, and a few bits of another sum.
  let [hash, other] = [0x811c9dc5, 0];
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    hash = Math.imul(hash ^ code, 0x01000193);
    other = (Math.imul(other, 31) + code) | 0;
  }
  return (hash >>> 0) + (other & 0x7f) * 2 ** 32;
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
