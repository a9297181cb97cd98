import { asc, desc, eq, gt, isNotNull, sql } from "drizzle-orm";
import type { AuditEntry } from "../../../shared/audit.ts";
import { Checkpoint } from "../../../shared/checkpoint.ts";
import { instant } from "../../../shared/ids.ts";
import { openOwn, sign } from "../../auth/sign.ts";
import { sha256Hex } from "../../auth/secret.ts";
import { audit, auditCheckpoints, marks } from "../../db/schema/service.ts";
import { type Database, guard, type Statement, withRetry, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { checkMark, setMark } from "../../keys/marks.ts";
import { canonicalJson } from "../../../shared/json.ts";
import { newId } from "../ids.ts";

/*
 * Each entry has a number and a hash over the hash before it and itself. The newest number and hash are a mark with a
 * MAC, so that who writes the database can neither add, change nor remove entries unnoticed (decision 43).
 */

type ChainDeps = Pick<Deps, "db" | "clock" | "random" | "log" | "signingKey">;
type Row = typeof audit.$inferSelect;

/** The last entry of the chain; sequence 0 and hash "" when there is none. */
export interface ChainHead {
  readonly sequence: number;
  readonly hash: string;
}

const ATTEMPTS = 20;
const queues = new WeakMap<Database, Promise<unknown>>();

/** Appends an entry. One after another in this process, with a guard against others: each has its own place. */
export async function appendEntry(deps: ChainDeps, entry: Omit<AuditEntry, "id" | "at" | "sequence">): Promise<void> {
  const turn = (queues.get(deps.db) ?? Promise.resolve()).then(() => withRetry(() => append(deps, entry), ATTEMPTS));
  queues.set(
    deps.db,
    turn.catch(() => undefined),
  );
  return turn;
}

async function append(deps: ChainDeps, entry: Omit<AuditEntry, "id" | "at" | "sequence">): Promise<void> {
  const { head, mac } = await readHead(deps);
  const row = { ...entry, id: newId(deps), at: instant(deps.clock.now()), sequence: head.sequence + 1 };
  const hash = await hashOf(head.hash, row);
  await writeAll(deps.db, [
    guard(deps.db, sql`(select ${marks.mac} from ${marks} where ${marks.name} = 'audit') is ${mac}`),
    deps.db.insert(audit).values({ ...row, hash }),
    ...(await setMark(deps, "audit", { sequence: row.sequence, hash })),
  ]);
}

/**
 * The head that the next entry follows, and the MAC of its mark. When the mark was removed or forged, a number is left
 * out, so that the break stays visible for ever.
 */
async function readHead(deps: ChainDeps): Promise<{ head: ChainHead; mac: string | null }> {
  const [[stored], [last]] = await deps.db.batch([
    deps.db.select().from(marks).where(eq(marks.name, "audit")),
    deps.db
      .select({ sequence: audit.sequence })
      .from(audit)
      .where(isNotNull(audit.sequence))
      .orderBy(desc(audit.sequence))
      .limit(1),
  ]);
  const mark = await checkMark(deps.signingKey, "audit", stored);
  if (mark.state === "ours") return { head: headOf(mark.value), mac: mark.mac };
  const mac = stored?.mac ?? null;
  const sequence = last?.sequence ?? 0;
  if (mark.state === "none" && sequence === 0) return { head: { sequence: 0, hash: "" }, mac };
  deps.log.error("the newest entry of the audit is not known any more: somebody else wrote into the database", {});
  return { head: { sequence: sequence + 1, hash: "" }, mac };
}

export function headOf({ sequence, hash }: Record<string, string | number>): ChainHead {
  return { sequence: Number(sequence), hash: String(hash) };
}

/** Hex SHA-256 over the hash of the entry before, and the entry's columns. */
export async function hashOf(before: string, row: Omit<Row, "hash">): Promise<string> {
  const { id, at, by, byName, byKind, method, route, object, status, address, sequence } = row;
  const changed = [row.before, row.after];
  const columns = [sequence, id, at, by, byName, byKind, method, route, object, status, address, ...changed];
  return sha256Hex(canonicalJson([before, columns]));
}

/** Statements for the batch that trims the chain up to `head`, or begins it again there: a signed checkpoint. */
export async function checkpointStatements(
  { db, signingKey, clock }: Pick<Deps, "db" | "signingKey" | "clock">,
  head: ChainHead,
  reason: Checkpoint["reason"],
): Promise<Statement[]> {
  const checkpoint: Checkpoint = { ...head, reason, at: instant(clock.now()) };
  const row = { ...checkpoint, jws: await sign(signingKey, "checkpoint", checkpoint) };
  // One that says that the database was restored stays for ever, for people.
  const older = sql`${auditCheckpoints.reason} = 'trimmed' and ${auditCheckpoints.sequence} < ${head.sequence}`;
  return [
    ...(reason === "trimmed" ? [db.delete(auditCheckpoints).where(older)] : []),
    db
      .insert(auditCheckpoints)
      .values(row)
      .onConflictDoUpdate({
        target: auditCheckpoints.sequence,
        set: row,
        setWhere: reason === "trimmed" ? sql`${auditCheckpoints.reason} = 'trimmed'` : sql`1`,
      }),
  ];
}

/** The checkpoints that this control plane signed, oldest first. */
export async function readCheckpoints({ db, signingKey }: Pick<Deps, "db" | "signingKey">): Promise<Checkpoint[]> {
  const rows = await db.select().from(auditCheckpoints).orderBy(asc(auditCheckpoints.sequence));
  const opened = await Promise.all(rows.map(({ jws }) => openCheckpoint({ signingKey }, jws)));
  return opened.filter((checkpoint) => checkpoint !== null);
}

/** @returns null when this control plane did not sign it */
export async function openCheckpoint(
  { signingKey }: Pick<Deps, "signingKey">,
  jws: string,
): Promise<Checkpoint | null> {
  return openOwn(signingKey, "checkpoint", jws, Checkpoint);
}

/** For a new signing key: signs the checkpoints again. */
export async function resignCheckpoints(
  { db }: Pick<Deps, "db">,
  { from, to }: { from: Deps["signingKey"]; to: Deps["signingKey"] },
): Promise<void> {
  for (const checkpoint of await readCheckpoints({ db, signingKey: from })) {
    const jws = await sign(to, "checkpoint", checkpoint);
    await db.update(auditCheckpoints).set({ jws }).where(eq(auditCheckpoints.sequence, checkpoint.sequence));
  }
}

/** Entries after this number, oldest first. */
export async function readEntries({ db }: Pick<Deps, "db">, after: number, limit: number): Promise<Row[]> {
  return db.select().from(audit).where(gt(audit.sequence, after)).orderBy(asc(audit.sequence)).limit(limit);
}
