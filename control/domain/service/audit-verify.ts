import { and, gt, isNull } from "drizzle-orm";
import type { AuditVerification } from "../../../shared/audit.ts";
import type { Checkpoint } from "../../../shared/checkpoint.ts";
import { audit } from "../../db/schema/service.ts";
import type { Deps } from "../../deps.ts";
import { readMark } from "../../keys/marks.ts";
import { type ChainHead, hashOf, headOf, readCheckpoints, readEntries } from "./audit-chain.ts";

/** Entries per call: keeps a call short, also on Workers. */
const BATCH_SIZE = 1000;

/**
 * Checks the next part of the audit's chain.
 * @param after the last number that was checked already; 0: from the beginning
 */
export async function verifyAudit(
  deps: Pick<Deps, "db" | "signingKey">,
  { after }: { after: number },
): Promise<AuditVerification> {
  const checkpoints = await readCheckpoints(deps);
  const rows = await readEntries(deps, after, BATCH_SIZE);
  const [first] = rows;
  const result = { verified: 0, from: first?.sequence ?? null, to: null, next: null, fault: null, checkpoints };
  const failed = (at: ChainHead | null, verified: number, sequence: number | null, message: string) => ({
    ...result,
    verified,
    to: at?.sequence ?? null,
    fault: { sequence, message },
  });
  let at = await startOf(deps, { after, first: first?.sequence ?? null, checkpoints });
  if (typeof at === "string") return failed(null, 0, first?.sequence ?? null, at);
  const unnumbered = after === 0 && first !== undefined ? await findUnnumbered(deps, first.id) : null;
  if (unnumbered !== null)
    return failed(at, 0, null, `entry ${unnumbered} has no number, and is newer than the first that has one`);
  let verified = 0;
  for (const row of rows) {
    const sequence = row.sequence ?? 0;
    if (sequence !== at.sequence + 1)
      return failed(at, verified, at.sequence + 1, `entries ${at.sequence + 1} to ${sequence - 1} are missing`);
    if (row.hash !== (await hashOf(at.hash, row)))
      return failed(at, verified, sequence, `entry ${sequence} (${row.id}) or the one before it was changed`);
    at = { sequence, hash: row.hash };
    verified++;
  }
  if (rows.length === BATCH_SIZE) return { ...result, verified, to: at.sequence, next: at.sequence };
  const fault = await faultOfEnd(deps, at);
  return fault === null ? { ...result, verified, to: at.sequence } : failed(at, verified, at.sequence + 1, fault);
}

/** Where the part begins; a text: why that is not known. */
async function startOf(
  deps: Pick<Deps, "db">,
  { after, first, checkpoints }: { after: number; first: number | null; checkpoints: readonly Checkpoint[] },
): Promise<ChainHead | string> {
  if (after > 0) {
    const [row] = await readEntries(deps, after - 1, 1);
    return row?.sequence === after ? { sequence: after, hash: row.hash ?? "" } : `entry ${after} is missing`;
  }
  const newest = checkpoints.at(-1);
  const before = first === null ? (newest?.sequence ?? 0) : first - 1;
  if (before === 0) return { sequence: 0, hash: "" };
  const checkpoint = checkpoints.find(({ sequence }) => sequence === before);
  return (
    checkpoint ??
    `the entries up to ${before} are missing, and no checkpoint of this control plane says that they were trimmed`
  );
}

async function findUnnumbered({ db }: Pick<Deps, "db">, first: string): Promise<string | null> {
  const [row] = await db
    .select({ id: audit.id })
    .from(audit)
    .where(and(isNull(audit.sequence), gt(audit.id, first)))
    .limit(1);
  return row?.id ?? null;
}

/** The last entry must be the one that the mark names. */
async function faultOfEnd(deps: Pick<Deps, "db" | "signingKey">, at: ChainHead): Promise<string | null> {
  const mark = await readMark(deps, "audit");
  if (mark.state === "none" && at.sequence === 0) return null;
  if (mark.state !== "ours")
    return `the mark of the newest entry ${mark.state === "none" ? "is missing" : "was not written by this control plane"}`;
  const head = headOf(mark.value);
  if (head.sequence > at.sequence) {
    // An entry may have been written since the rows were read.
    const [newer] = await readEntries(deps, at.sequence, 1);
    return newer === undefined ? `entries ${at.sequence + 1} to ${head.sequence} are missing` : null;
  }
  return head.hash === at.hash ? null : "the newest entry is not the one that was written last";
}
