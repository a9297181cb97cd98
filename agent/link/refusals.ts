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

const SAY_AGAIN_AFTER_MS = 24 * 3_600_000;
const REMEMBERED = 1000;

/** The same thing is asked for at every poll: it is reported once a day, not every few minutes. */
export function openRefusals(deps: RefuseDeps): Refuse {
  const saidAt = new Map<string, number>();
  return async (code, subject, message) => {
    const now = deps.clock.now();
    const key = `${code} ${subject}`;
    const before = saidAt.get(key);
    if (before !== undefined && now >= before && now - before < SAY_AGAIN_AFTER_MS) return;
    if (saidAt.size >= REMEMBERED) saidAt.clear();
    saidAt.set(key, now);
    deps.log(`refused: ${message}`);
    const id = uuidv7(now, deps.random(10));
    await deps.spool.addRefusal({ type: "refusal", id, at: instant(now), code, subject, message });
  };
}
