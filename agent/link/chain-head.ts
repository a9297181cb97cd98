import { JWS_TYPES } from "../../shared/assignment.ts";
import { ChainHead } from "../../shared/checkpoint.ts";
import type { AgentConfig } from "../config.ts";
import { type ChainHeadDeps, recordChainHead } from "../state/chain-head.ts";
import { verifyPinned } from "./signed.ts";

/** Remembers the newest entry of the control plane's audit. One that is not signed for this host is ignored. */
export async function acceptChainHead(deps: ChainHeadDeps & { config: AgentConfig }, jws: string): Promise<void> {
  const opened = await verifyPinned(jws, deps.config, JWS_TYPES.head, ChainHead);
  if (!opened.ok || opened.value.host !== deps.config.host) return;
  try {
    await recordChainHead(deps, opened.value);
  } catch (error) {
    deps.log(`the newest entry of the control plane's audit can't be remembered: ${String(error)}`);
  }
}
