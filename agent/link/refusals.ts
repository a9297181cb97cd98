import { instant, uuidv7 } from "../../shared/ids.ts";
import type { Refusal, RefusalCode } from "../../shared/report.ts";
import type { Spool } from "../state/spool.ts";

export interface RefusalDeps {
  readonly clock: { now(): number };
  readonly random: (bytes: number) => Uint8Array;
  readonly log: (line: string) => void;
  readonly spool: Pick<Spool, "addRefusal">;
}

/** Logs and reports a refusal. @param subject what was refused. @param message a sentence for a person */
export type Refuse = (code: RefusalCode, subject: string, message: string) => Promise<void>;

const REPEAT_AFTER_MS = 24 * 3_600_000;
const MAX_TRACKED = 1000;

/** The same request comes with every pull: it is reported once a day only. */
export function createRefuse(deps: RefusalDeps): Refuse {
  const report = createRefusalReporter(deps, REPEAT_AFTER_MS);
  return async (code, subject, message) => {
    await report(`${code} ${subject}`, { code, subject, message }, () => deps.log(`refused: ${message}`));
  };
}

/** Reports a refusal, unless one with the same key was reported recently. @param onNew called when it is reported */
type ReportRefusal = (
  key: string,
  refusal: Pick<Refusal, "code" | "subject" | "message">,
  onNew?: () => void,
) => Promise<void>;

/** @param repeatAfterMs after that time the same refusal is reported again */
export function createRefusalReporter(deps: Omit<RefusalDeps, "log">, repeatAfterMs: number): ReportRefusal {
  const reportedAt = new Map<string, number>();
  return async (key, refusal, onNew) => {
    const now = deps.clock.now();
    const before = reportedAt.get(key);
    if (before !== undefined && now >= before && now - before < repeatAfterMs) return;
    if (reportedAt.size >= MAX_TRACKED) reportedAt.clear();
    reportedAt.set(key, now);
    onNew?.();
    const id = uuidv7(now, deps.random(10));
    await deps.spool.addRefusal({ type: "refusal", id, at: instant(now), ...refusal });
  };
}
