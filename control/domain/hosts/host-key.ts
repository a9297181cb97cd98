import { eq } from "drizzle-orm";
import { Failure } from "../../../shared/failure.ts";
import type { Id } from "../../../shared/ids.ts";
import { readHostKeyProof } from "../../keys/host-key-proof.ts";
import { hosts } from "../../db/schema/hosts.ts";
import { violatedUniqueColumns, withRetry, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { changeWithMac, guardAsRead } from "../../keys/row-mac.ts";
import { invalidRequest, notFound } from "../errors.ts";

/**
 * Replaces a host's key by the one that signed the proof. Idempotent: a host may repeat it after a lost answer.
 * Throws `request.invalid` for a proof of something else, `request.conflict` for a key that another host has.
 */
export async function replaceHostKey(deps: Deps, host: Id, { proof: jws }: { proof: string }): Promise<void> {
  const proof = await readHostKeyProof(jws);
  if (proof === null || proof.host !== host)
    throw invalidRequest(["proof"], "it must be signed by the new key, for this host");
  await withRetry(async () => {
    const [row] = await deps.db.select().from(hosts).where(eq(hosts.id, host));
    if (row === undefined) throw notFound("hosts", host);
    if (row.publicKey === proof.publicKey) return;
    if (row.publicKey !== proof.previous)
      throw invalidRequest(["proof"], "it replaces another key than the one this host has");
    const changed = await changeWithMac(deps, "hosts", row, { publicKey: proof.publicKey });
    try {
      await writeAll(deps.db, [
        guardAsRead(deps, "hosts", row),
        deps.db.update(hosts).set(changed).where(eq(hosts.id, host)),
      ]);
    } catch (error) {
      if (violatedUniqueColumns(error).length === 0) throw error;
      throw new Failure("request.conflict", "another host has this key: make a new one on each host");
    }
  });
}
