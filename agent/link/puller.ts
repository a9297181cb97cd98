import type { Assignment, Order } from "../../shared/assignment.ts";
import { PLUS_MINUS_TENTH, withJitter } from "../../shared/backoff.ts";
import { messageOf } from "../../shared/error-message.ts";
import { ApiError } from "./api.ts";
import type { Api } from "./api.ts";
import type { Timers } from "../system/timers.ts";

export interface PullerDeps {
  api: Pick<Api, "getAssignment" | "getOrders">;
  timers: Timers;
  random: () => number;
  log: (line: string) => void;
  isOnline: () => boolean;
  revision: () => number | null;
  onAssignment: (jws: string) => Promise<Assignment | null>;
  onOrders: (signed: string[]) => Promise<Order[]>;
  onOrder: (order: Order) => void;
  /** Whatever else may wait there; nothing waits for it. */
  onPulled: () => void;
  /** What the host says of itself, when that has changed. Last: orders do not wait for it. */
  sendFacts: () => Promise<void>;
}

export interface Puller {
  /** Pulls now; while a pull is under way, once more after it. */
  pull(): void;
  stop(): void;
}

const WITH_SOCKET_MS = 30 * 60_000;
const WITHOUT_SOCKET_MS = 5 * 60_000;
const WHEN_REVOKED_MS = 60 * 60_000;

/** Fetches what there is to do: when poked, and slowly by itself, in case nobody could poke. */
export function startPuller(deps: PullerDeps): Puller {
  let cancelTimer = (): void => {};
  let isPulling = false;
  let isPullRequested = false;
  let isStopped = false;
  let lastLogged = "";

  const pullOnce = async (): Promise<"fine" | "trouble" | "revoked"> => {
    try {
      // Fetched before the assignment and taken after it: what an order is for is then in it, however new both are.
      const signed = await deps.api.getOrders();
      const jws = await deps.api.getAssignment(deps.revision());
      if (jws !== null) await deps.onAssignment(jws);
      for (const order of await deps.onOrders(signed)) deps.onOrder(order);
      deps.onPulled();
      await deps.sendFacts();
      if (lastLogged !== "") deps.log("the control plane answers again");
      lastLogged = "";
      return "fine";
    } catch (error) {
      const said = messageOf(error);
      if (said !== lastLogged) deps.log(`going on with the assignment of before: ${said}`);
      lastLogged = said;
      // It is this host that has failed, and not the wire: what is wrong here can still be told.
      if (!(error instanceof ApiError)) await deps.sendFacts().catch(() => undefined);
      return error instanceof ApiError && error.kind === "revoked" ? "revoked" : "trouble";
    }
  };
  const pull = (): void => {
    cancelTimer();
    if (isStopped) return;
    isPullRequested = isPulling;
    if (isPulling) return;
    isPulling = true;
    void pullOnce().then((end) => {
      isPulling = false;
      if (isPullRequested) return pull();
      const wait =
        end === "revoked" ? WHEN_REVOKED_MS : deps.isOnline() && end === "fine" ? WITH_SOCKET_MS : WITHOUT_SOCKET_MS;
      if (!isStopped) cancelTimer = deps.timers.after(withJitter(wait, deps.random, PLUS_MINUS_TENTH), pull);
    });
  };

  pull();
  return {
    pull,
    stop() {
      isStopped = true;
      cancelTimer();
    },
  };
}
