import { createBackoff } from "../../shared/backoff.ts";
import { messageOf } from "../../shared/error-message.ts";
import type { Id } from "../../shared/ids.ts";
import { isOver } from "../../shared/run.ts";
import type { Report } from "../../shared/report.ts";
import { ApiError } from "./api.ts";
import type { Api } from "./api.ts";
import type { Spool } from "../state/spool.ts";
import type { SpoolEntry } from "../state/spool-entry.ts";
import type { Timers } from "../system/timers.ts";

export interface DeliverDeps {
  spool: Pick<Spool, "list" | "removeIfUnchanged">;
  api: Pick<Api, "postReports">;
  log: (line: string) => void;
  /** Called with the ids the control plane has stored, before they are removed here. */
  onAccepted: (ids: readonly Id[]) => Promise<void>;
}

export interface Reporter {
  /** Delivers now: there are new reports, or the control plane is reachable again. */
  wake(): void;
  /** Stops after one more attempt. */
  stop(): Promise<void>;
}

const MAX_REPORTS = 100;
const MAX_BATCH_CHARACTERS = 1_000_000;
const DELIVER_EVERY_MS = 60_000;
const FIRST_RETRY_MS = 4_000;
/** Whatever something in between says. */
const LONGEST_HOLD_MS = 3_600_000;

/** State kept between deliveries. */
export interface DeliveryState {
  /** The last accepted sequence of each report: a running run that has not changed is not sent again. */
  accepted: Map<Id, number>;
  /** Reports the control plane rejected: each is logged once. */
  rejected: Set<Id>;
}

/**
 * Delivers the spool's reports, at least once each. Removes those that are complete and were accepted unchanged.
 * @returns how many entries were not accepted.
 * @throws ApiError when the control plane can't be reached
 */
export async function deliverReports(
  deps: DeliverDeps,
  before: DeliveryState = { accepted: new Map(), rejected: new Set() },
): Promise<number> {
  const { accepted } = before;
  const entries = await deps.spool.list();
  for (const id of accepted.keys()) {
    if (!entries.some(({ report }) => idOf(report) === id)) accepted.delete(id);
  }
  const isUnsent = (entry: SpoolEntry): boolean =>
    isComplete(entry) || accepted.get(idOf(entry.report)) !== sequenceOf(entry.report);
  let left = 0;
  for (const batch of batchesOf(entries.filter(isUnsent))) left += await deliverBatch(deps, batch, before);
  return left;
}

/**
 * Delivers when woken, every minute, and after a failure with growing intervals, or when the control plane says that it
 * takes more.
 */
export function startReporter(deps: DeliverDeps & { timers: Timers; random: () => number }): Reporter {
  const before: DeliveryState = { accepted: new Map(), rejected: new Set() };
  let cancelTimer = (): void => {};
  let delivering: Promise<void> | null = null;
  let isWokenAgain = false;
  const backoff = createBackoff({ firstMs: FIRST_RETRY_MS, longestMs: DELIVER_EVERY_MS, random: deps.random });
  let hasFailed = false;
  /** The control plane takes no more before then: waking does not help. */
  let isHeld = false;

  /** @returns how long nothing is to be sent, in ms; 0 when the control plane does not say */
  const deliver = async (): Promise<number> => {
    try {
      await deliverReports(deps, before);
      hasFailed = false;
      backoff.reset();
    } catch (error) {
      if (!hasFailed) deps.log(`reports are kept until they can be delivered: ${messageOf(error)}`);
      hasFailed = true;
      return error instanceof ApiError ? Math.min(error.retryAfterSeconds * 1000, LONGEST_HOLD_MS) : 0;
    }
    return 0;
  };
  const wake = (): void => {
    if (isHeld) return;
    cancelTimer();
    if (delivering !== null) {
      isWokenAgain = true;
      return;
    }
    delivering = deliver().then((holdMs) => {
      delivering = null;
      if (holdMs > 0) {
        isHeld = true;
        cancelTimer = deps.timers.after(Math.max(holdMs, backoff.next()), () => {
          isHeld = false;
          wake();
        });
        return;
      }
      if (isWokenAgain && !hasFailed) {
        isWokenAgain = false;
        return wake();
      }
      isWokenAgain = false;
      cancelTimer = deps.timers.after(hasFailed ? backoff.next() : DELIVER_EVERY_MS, wake);
    });
  };
  wake();
  return {
    wake,
    async stop() {
      cancelTimer();
      while (delivering !== null) await delivering;
      cancelTimer();
      await deliver();
    },
  };
}

async function deliverBatch(deps: DeliverDeps, batch: SpoolEntry[], before: DeliveryState): Promise<number> {
  let ids: Id[];
  try {
    ids = await deps.api.postReports(batch.map(({ report }) => report));
  } catch (error) {
    if (!(error instanceof ApiError) || error.kind !== "rejected") throw error;
    return await deliverSplit(deps, batch, { before, error });
  }
  const accepted = batch.filter(({ report }) => ids.includes(idOf(report)));
  await deps.onAccepted(accepted.map(({ report }) => idOf(report)));
  for (const entry of accepted) {
    const [id, sequence] = [idOf(entry.report), sequenceOf(entry.report)];
    before.accepted.set(id, sequence);
    if (isComplete(entry)) await deps.spool.removeIfUnchanged(id, sequence);
  }
  return batch.length - accepted.length;
}

/** A report the control plane rejects must not block the others: halves the batch until it is alone. It is kept. */
async function deliverSplit(
  deps: DeliverDeps,
  batch: SpoolEntry[],
  context: { before: DeliveryState; error: ApiError },
): Promise<number> {
  const [only] = batch;
  if (only === undefined) return 0;
  if (batch.length === 1) {
    const id = idOf(only.report);
    if (context.before.rejected.has(id)) return 1;
    context.before.rejected.add(id);
    deps.log(`the control plane rejected the report of ${id}, which is kept: ${context.error.message}`);
    return 1;
  }
  const middle = Math.ceil(batch.length / 2);
  const first = await deliverBatch(deps, batch.slice(0, middle), context.before);
  return first + (await deliverBatch(deps, batch.slice(middle), context.before));
}

function batchesOf(entries: SpoolEntry[]): SpoolEntry[][] {
  const batches: SpoolEntry[][] = [];
  let room = 0;
  for (const entry of entries) {
    const size = JSON.stringify(entry.report).length;
    const last = batches.at(-1);
    if (last === undefined || last.length >= MAX_REPORTS || size > room) {
      batches.push([entry]);
      room = MAX_BATCH_CHARACTERS - size;
    } else {
      last.push(entry);
      room -= size;
    }
  }
  return batches;
}

/** Whether the run is over and has no cleanup left. */
function isComplete({ report, after }: SpoolEntry): boolean {
  return report.type === "refusal" || (isOver(report.run.state) && after === null);
}

function idOf(report: Report): Id {
  return report.type === "run" ? report.run.id : report.id;
}

/** A refusal never changes. */
function sequenceOf(report: Report): number {
  return report.type === "run" ? report.sequence : 0;
}
