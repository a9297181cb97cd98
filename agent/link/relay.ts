import { unseal } from "../../shared/age.ts";
import { JWS_TYPES } from "../../shared/assignment.ts";
import { messageOf } from "../../shared/error-message.ts";
import { parseJson } from "../../shared/json.ts";
import { OutgoingRequest } from "../../shared/outgoing.ts";
import { RelayedDelivery, type RelayResult } from "../../shared/relay.ts";
import { ApiError } from "./api.ts";
import type { Api } from "./api.ts";
import type { AgentConfig, Paths } from "../config.ts";
import { readAgeKey } from "../policy/age-key.ts";
import { sendAllowed } from "../policy/outgoing.ts";
import { verifyPinned } from "./signed.ts";
import type { Timers } from "../system/timers.ts";

export interface RelayDeps {
  paths: Pick<Paths, "policyJson" | "grantsFile" | "waitingFile" | "locksDir" | "ageKeyFile">;
  config: AgentConfig;
  api: Pick<Api, "getRelayedDeliveries" | "postRelayResults">;
  /** The control plane's time, as far as known: deliveries expire by its clock. */
  clock: { now(): number };
  timers: Timers;
  log: (line: string) => void;
}

export interface Relay {
  /**
   * Fetches the deliveries for this host, sends them and posts the results. Called while running: runs once more
   * afterwards. Never rejects.
   */
  run(): Promise<void>;
  stop(): void;
}

const RETRY_MS = 5_000;
/** After that the control plane has reassigned the delivery, or is about to. */
const MAX_ATTEMPTS = 10;
const MOST_ERROR_CHARACTERS = 500;

/** Sends notifications for the control plane, from this host's network. */
export function startRelay(deps: RelayDeps): Relay {
  let running: Promise<void> | null = null;
  let isRunRequested = false;
  let isStopped = false;
  let lastLogged = "";

  const runOnce = async (): Promise<void> => {
    for (;;) {
      const signed = await deps.api.getRelayedDeliveries();
      if (signed.length === 0 || isStopped) return;
      const results = (await Promise.all(signed.map((jws) => sendDelivery(deps, jws)))).filter((one) => one !== null);
      if (results.length === 0) return;
      await postResults(deps, results, () => isStopped);
    }
  };
  const rounds = async (): Promise<void> => {
    do {
      isRunRequested = false;
      try {
        await runOnce();
        lastLogged = "";
      } catch (error) {
        // An older control plane does not have this route.
        if (error instanceof ApiError && error.code === "route.not_found") continue;
        const message = messageOf(error);
        if (message !== lastLogged) deps.log(`relayed notifications can't be fetched or reported: ${message}`);
        lastLogged = message;
      }
    } while (isRunRequested && !isStopped);
    running = null;
  };
  return {
    run() {
      isRunRequested = true;
      return (running ??= rounds());
    },
    stop() {
      isStopped = true;
    },
  };
}

/**
 * @returns null when it is not for this host or expired: no result is posted, and the control plane counts it as failed
 */
async function sendDelivery(deps: RelayDeps, jws: string): Promise<RelayResult | null> {
  const opened = await verifyPinned(jws, deps.config, JWS_TYPES.delivery, RelayedDelivery);
  if (!opened.ok) {
    deps.log(`a notification to send ${opened.message}`);
    return null;
  }
  const { id, lease, host, expiresAt } = opened.value;
  if (host !== deps.config.host || Date.parse(expiresAt) <= deps.clock.now()) {
    deps.log(`notification ${id} is ${host === deps.config.host ? "too old" : "for another host"} and is not sent`);
    return null;
  }
  try {
    const { status, retryAfterSeconds = 0 } = await sendAllowed(deps, await openRequest(deps, opened.value));
    return { id, lease, status, error: null, retryAfterSeconds };
  } catch (error) {
    const message = messageOf(error).slice(0, MOST_ERROR_CHARACTERS);
    deps.log(`notification ${id} was not sent: ${message}`);
    return { id, lease, status: null, error: message, retryAfterSeconds: 0 };
  }
}

/** @throws an Error when it was sealed to another key, or damaged */
async function openRequest({ paths }: RelayDeps, { request, sealed }: RelayedDelivery): Promise<OutgoingRequest> {
  if (request !== undefined) return request;
  const key = await readAgeKey(paths);
  const text = key === null || sealed === undefined ? null : await unseal(key, sealed);
  if (text === null) throw new Error(`it is not sealed to the age key of this host (${paths.ageKeyFile})`);
  return OutgoingRequest.parse(parseJson(text));
}

/** Results that can't be posted are dropped: the control plane hands the delivery out again under the same id. */
async function postResults(deps: RelayDeps, results: RelayResult[], isStopped: () => boolean): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await deps.api.postRelayResults(results);
    } catch (error) {
      const mustGiveUp = !(error instanceof ApiError) || error.kind !== "offline" || tries >= MAX_ATTEMPTS;
      if (mustGiveUp || isStopped()) throw error;
    }
    await new Promise<void>((resolve) => deps.timers.after(RETRY_MS, resolve));
  }
}
