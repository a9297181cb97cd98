import { JWS_TYPES } from "../../shared/assignment.ts";
import { Errand, type ErrandOutcome } from "../../shared/errand.ts";
import { ApiError } from "./api.ts";
import type { Api } from "./api.ts";
import type { AgentConfig, Paths } from "../config.ts";
import { sendAllowed } from "../policy/outgoing.ts";
import { loadPolicy } from "../policy/policy.ts";
import { verifySigned } from "./signed.ts";
import type { Timers } from "../system/timers.ts";

export interface ErrandDeps {
  paths: Pick<Paths, "policyJson">;
  config: AgentConfig;
  api: Pick<Api, "getErrands" | "postErrandOutcomes">;
  /** The control plane's time: it is its clock that errands expire by. */
  clock: { now(): number };
  timers: Timers;
  log: (line: string) => void;
}

export interface Errands {
  /** Asks for what is to be sent from here, sends it, and says what came of it; while it does, once more after it. Never rejects. */
  run(): Promise<void>;
  stop(): void;
}

const SAY_AGAIN_MS = 5_000;
/** After that the control plane has given it out again, or is about to. */
const MOST_TRIES_TO_SAY = 10;
const MOST_ERROR_CHARACTERS = 500;

/** Sends notifications for the control plane, from where this host is. */
export function startErrands(deps: ErrandDeps): Errands {
  let running: Promise<void> | null = null;
  let isAskedAgain = false;
  let isStopped = false;
  let saidBefore = "";

  const runOnce = async (): Promise<void> => {
    for (;;) {
      const signed = await deps.api.getErrands();
      if (signed.length === 0 || isStopped) return;
      const outcomes = (await Promise.all(signed.map((jws) => perform(deps, jws)))).filter((one) => one !== null);
      if (outcomes.length === 0) return;
      await say(deps, outcomes, () => isStopped);
    }
  };
  const rounds = async (): Promise<void> => {
    do {
      isAskedAgain = false;
      try {
        await runOnce();
        saidBefore = "";
      } catch (error) {
        // An older control plane has no such thing.
        if (error instanceof ApiError && error.code === "route.not_found") continue;
        const said = messageOf(error);
        if (said !== saidBefore) deps.log(`notifications that others wait for can't be sent from here: ${said}`);
        saidBefore = said;
      }
    } while (isAskedAgain && !isStopped);
    running = null;
  };
  return {
    run() {
      isAskedAgain = true;
      return (running ??= rounds());
    },
    stop() {
      isStopped = true;
    },
  };
}

/** @returns null for what is not ours to do: then the control plane hears nothing, and counts it as failed */
async function perform(deps: ErrandDeps, jws: string): Promise<ErrandOutcome | null> {
  const errand = await verifySigned(jws, deps.config.controlKey, JWS_TYPES.delivery, Errand);
  if (!errand.ok) {
    deps.log(`a notification to send ${errand.message}`);
    return null;
  }
  const { id, lease, host, expiresAt, request } = errand.value;
  if (host !== deps.config.host || Date.parse(expiresAt) <= deps.clock.now()) {
    deps.log(`notification ${id} is ${host === deps.config.host ? "too old" : "for another host"} and is not sent`);
    return null;
  }
  try {
    const { status, retryAfterSeconds = 0 } = await sendAllowed(await loadPolicy(deps.paths), request);
    return { id, lease, status, error: null, retryAfterSeconds };
  } catch (error) {
    const message = messageOf(error).slice(0, MOST_ERROR_CHARACTERS);
    deps.log(`notification ${id} was not sent: ${message}`);
    return { id, lease, status: null, error: message, retryAfterSeconds: 0 };
  }
}

/** What can't be said for long enough is forgotten: it is given out again, under the same id. */
async function say(deps: ErrandDeps, outcomes: ErrandOutcome[], isStopped: () => boolean): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await deps.api.postErrandOutcomes(outcomes);
    } catch (error) {
      const isOver = !(error instanceof ApiError) || error.trouble !== "offline" || tries >= MOST_TRIES_TO_SAY;
      if (isOver || isStopped()) throw error;
    }
    await new Promise<void>((resolve) => deps.timers.after(SAY_AGAIN_MS, resolve));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
