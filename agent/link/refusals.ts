import { instant, uuidv7 } from "../../shared/ids.ts";
import type { RefusalCode } from "../../shared/report.ts";
import type { Spool } from "../state/spool.ts";

export interface RefuseDeps {
  clock: { now(): number };
  random: (bytes: number) => Uint8Array;
  log: (line: string) => void;
  spool: Pick<Spool, "addRefusal">;
}

/** Says no, and reports it. @param subject what was refused; @param message a sentence for a person */
export type Refuse = (code: RefusalCode, subject: string, message: string) => Promise<void>;

const REPEAT_AFTER_MS = 24 * 3_600_000;
const MAX_TRACKED = 1000;

/** The same thing is asked for at every poll: it is reported once a day, not every few minutes. */
export function createRefuse(deps: RefuseDeps): Refuse {
  const reportedAt = new Map<string, number>();
  return async (code, subject, message) => {
    const now = deps.clock.now();
    const key = `${code} ${subject}`;
    const before = reportedAt.get(key);
    if (before !== undefined && now >= before && now - before < REPEAT_AFTER_MS) return;
    if (reportedAt.size >= MAX_TRACKED) reportedAt.clear();
    reportedAt.set(key, now);
    deps.log(`refused: ${message}`);
    const id = uuidv7(now, deps.random(10));
    await deps.spool.addRefusal({ type: "refusal", id, at: instant(now), code, subject, message });
  };
}
