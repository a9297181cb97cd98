import * as z from "zod";
import { ChainHead } from "../../shared/checkpoint.ts";
import type { HostTrouble } from "../../shared/host.ts";
import type { Paths } from "../config.ts";
import { readState, writeState } from "../system/state-file.ts";

/**
 * The newest entry of the control plane's audit that this host was shown. `rewritten`: what contradicted it; it stays
 * until root removes the file.
 */
const StoredHead = z.strictObject({ head: ChainHead, rewritten: z.string().nullable() });

export interface ChainHeadDeps {
  readonly paths: Pick<Paths, "chainHeadFile">;
  readonly log: (line: string) => void;
}

/**
 * Compares a head, whose signature is verified, with the newest one before. An audit never gets shorter, and an entry
 * never changes, unless the control plane was restored from its own backup since, which it signs.
 */
export async function recordChainHead({ paths, log }: ChainHeadDeps, head: ChainHead): Promise<void> {
  const stored = await readState(paths.chainHeadFile, StoredHead);
  // Of another control plane, before this host was enrolled here.
  const before = stored?.head.host === head.host ? stored.head : null;
  // An older answer, sent again by somebody in between.
  if (before !== null && head.issuedAt < before.issuedAt) return;
  const isShorter = before !== null && head.sequence < before.sequence;
  const isOther = before !== null && head.sequence === before.sequence && head.hash !== before.hash;
  const isRestored = before !== null && head.restoredAt !== null && head.restoredAt > (before.restoredAt ?? "");
  if (before !== null && isRestored)
    log(
      `the control plane was restored at ${head.restoredAt}: its audit begins again after entry ${head.sequence} (${before.sequence} was known here)`,
    );
  const isContradiction = (isShorter || isOther) && !isRestored;
  if (!isContradiction) {
    if (before?.sequence === head.sequence && before.hash === head.hash && !isRestored) return;
    await writeState(paths.chainHeadFile, { head, rewritten: before === null ? null : (stored?.rewritten ?? null) });
    return;
  }
  if (before === null || typeof stored?.rewritten === "string") return;
  const rewritten = `the control plane's audit was rewritten: at ${before.issuedAt} its newest entry was ${before.sequence}, at ${head.issuedAt} it is ${isOther ? "another one" : head.sequence}`;
  log(rewritten);
  await writeState(paths.chainHeadFile, { head: before, rewritten });
}

export async function chainHeadTroubles({ chainHeadFile }: Pick<Paths, "chainHeadFile">): Promise<HostTrouble[]> {
  const rewritten = (await readState(chainHeadFile, StoredHead))?.rewritten ?? null;
  if (rewritten === null) return [];
  const message = `${rewritten}. Find out who did that (\`holdfast audit verify\`), then remove this file.`;
  return [{ code: "audit.rewritten", subject: chainHeadFile, message }];
}
