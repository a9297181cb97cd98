import { JWS_TYPES } from "../../shared/assignment.ts";
import { Probes, type Probe } from "../../shared/catalog.ts";
import { PLUS_MINUS_TENTH, withJitter } from "../../shared/backoff.ts";
import { messageOf } from "../../shared/error-message.ts";
import { ApiError } from "../link/api.ts";
import type { Api } from "../link/api.ts";
import type { AgentConfig, Paths } from "../config.ts";
import { detect } from "./detect.ts";
import type { SearchPaths } from "./search-paths.ts";
import { loadPolicy } from "../policy/policy.ts";
import { verifyPinned } from "../link/signed.ts";
import type { Timers } from "../system/timers.ts";

export interface DetectorDeps {
  api: Pick<Api, "getProbes" | "putDetections">;
  config: AgentConfig;
  paths: Pick<Paths, "policyJson">;
  searchPaths: SearchPaths;
  clock: { now(): number };
  timers: Timers;
  random: () => number;
  log: (line: string) => void;
}

export interface Detector {
  /** Looks again now: a service may have been installed. */
  detect(): void;
  stop(): void;
}

const DETECT_EVERY_MS = 60 * 60_000;
const RETRY_AFTER_MS = 5 * 60_000;
const REFRESH_EVERY_MS = 24 * 60 * 60_000;

/**
 * Detects services of the catalogue: at once and hourly. Sends the result when it has changed, and daily. Fetches the
 * probes daily. The policy can forbid it.
 */
export function startDetector(deps: DetectorDeps): Detector {
  let cancelTimer = (): void => {};
  let isStopped = false;
  let lastLogged = "";
  let probes: { list: Probe[]; askedAt: number } | null = null;
  let lastSent: { text: string; at: number } | null = null;
  const isOld = (at: number): boolean => deps.clock.now() - at >= REFRESH_EVERY_MS;

  const detectOnce = async (): Promise<void> => {
    const mayDetect = (await loadPolicy(deps.paths)).detect;
    if (mayDetect && (probes === null || isOld(probes.askedAt))) {
      probes = { list: await fetchProbes(deps), askedAt: deps.clock.now() };
    }
    const detections = mayDetect && probes !== null ? await detect(probes.list, deps.searchPaths) : [];
    const text = JSON.stringify(detections);
    if (lastSent !== null && lastSent.text === text && !isOld(lastSent.at)) return;
    await deps.api.putDetections(detections.slice(0, 200));
    lastSent = { text, at: deps.clock.now() };
  };
  const detectAndReschedule = async (): Promise<void> => {
    let wait = DETECT_EVERY_MS;
    try {
      await detectOnce();
      lastLogged = "";
    } catch (error) {
      wait = RETRY_AFTER_MS;
      const message = messageOf(error);
      // The puller already logs that the control plane is offline.
      const isKnown = error instanceof ApiError && error.kind === "offline";
      if (!isKnown && message !== lastLogged) deps.log(`services are not detected: ${message}`);
      lastLogged = message;
    }
    if (!isStopped) cancelTimer = deps.timers.after(withJitter(wait, deps.random, PLUS_MINUS_TENTH), detectNext);
  };
  // One at a time.
  let detecting = Promise.resolve();
  const detectNext = (): void => {
    detecting = detecting.then(async () => {
      cancelTimer();
      if (!isStopped) await detectAndReschedule();
    });
  };

  detectNext();
  return {
    detect: detectNext,
    stop() {
      isStopped = true;
      cancelTimer();
    },
  };
}

async function fetchProbes({ api, config }: DetectorDeps): Promise<Probe[]> {
  const opened = await verifyPinned(await api.getProbes(), config, JWS_TYPES.probes, Probes);
  if (!opened.ok) throw new Error(`the list of probes ${opened.message}`);
  const { host, probes } = opened.value;
  if (host !== config.host) throw new Error(`the list of probes is for host ${host}, this is ${config.host}`);
  return probes;
}
