import { desc, eq } from "drizzle-orm";
import { instant, type Id } from "../../../shared/ids.ts";
import { sign } from "../../auth/sign.ts";
import { auditCheckpoints, marks } from "../../db/schema/service.ts";
import type { Deps } from "../../deps.ts";
import { checkMark } from "../../keys/marks.ts";
import { headOf, openCheckpoint } from "./audit-chain.ts";

/** The newest entry of the audit, signed for this host; null when there is none, or somebody else changed its mark. */
export async function signedHead(deps: Deps, host: Id): Promise<string | null> {
  const [[stored], [restored]] = await deps.db.batch([
    deps.db.select().from(marks).where(eq(marks.name, "audit")),
    deps.db
      .select({ jws: auditCheckpoints.jws })
      .from(auditCheckpoints)
      .where(eq(auditCheckpoints.reason, "restored"))
      .orderBy(desc(auditCheckpoints.at))
      .limit(1),
  ]);
  const mark = await checkMark(deps.signingKey, "audit", stored);
  if (mark.state !== "ours") return null;
  const checkpoint = restored === undefined ? null : await openCheckpoint(deps, restored.jws);
  const issuedAt = instant(deps.clock.now());
  return sign(deps.signingKey, "head", { host, ...headOf(mark.value), issuedAt, restoredAt: checkpoint?.at ?? null });
}
