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
  /** The control plane announces its next key. */
  onNextKey: (jws: string) => Promise<void>;
  onOrders: (signed: string[]) => Promise<Order[]>;
  onOrder: (order: Order) => void;
  /** Other work to fetch after a pull (relayed deliveries). Not awaited. */
  onPulled: () => void;
  /** Sends the facts, when they have changed. Last, so that orders don't wait for it. */
  sendFacts: () => Promise<void>;
}

export interface Puller {
  /** Pulls now. While a pull is in progress, pulls once more afterwards. */
  pull(): void;
  stop(): void;
}

const WITH_SOCKET_MS = 30 * 60_000;
const WITHOUT_SOCKET_MS = 5 * 60_000;
const WHEN_REVOKED_MS = 60 * 60_000;

/** Fetches assignment and orders: when poked, and at a slow interval in case the socket is down. */
export function startPuller(deps: PullerDeps): Puller {
  let cancelTimer = (): void => {};
  let isPulling = false;
  let isPullRequested = false;
  let isStopped = false;
  let lastLogged = "";

  const pullOnce = async (): Promise<"ok" | "failed" | "revoked"> => {
    try {
      // Orders are fetched before the assignment and carried out after it: the assignment then contains what they refer
      // to.
      const { orders: signed, nextKey } = await deps.api.getOrders();
      const jws = await deps.api.getAssignment(deps.revision());
      if (jws !== null) await deps.onAssignment(jws);
      // After the assignment, which may have made the key that signs this the present one.
      if (nextKey !== undefined) await deps.onNextKey(nextKey);
      for (const order of await deps.onOrders(signed)) deps.onOrder(order);
      deps.onPulled();
      await deps.sendFacts();
      if (lastLogged !== "") deps.log("the control plane answers again");
      lastLogged = "";
      return "ok";
    } catch (error) {
      const message = messageOf(error);
      if (message !== lastLogged)
        deps.log(`can't pull from the control plane, keeping the current assignment: ${message}`);
      lastLogged = message;
      // A local failure, not a network one: the facts, with the host's troubles, can still be sent.
      if (!(error instanceof ApiError)) await deps.sendFacts().catch(() => undefined);
      return error instanceof ApiError && error.kind === "revoked" ? "revoked" : "failed";
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
        end === "revoked" ? WHEN_REVOKED_MS : deps.isOnline() && end === "ok" ? WITH_SOCKET_MS : WITHOUT_SOCKET_MS;
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
