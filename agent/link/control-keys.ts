import { JWS_TYPES, NextKey } from "../../shared/assignment.ts";
import { type AgentConfig, type Paths, writeConfig } from "../config.ts";
import type { Refuse } from "./refusals.ts";
import { verifySigned } from "./signed.ts";

interface KeyDeps {
  readonly paths: Paths;
  readonly config: AgentConfig;
  readonly log: (line: string) => void;
}

/**
 * Pins the key that the control plane will sign with next. The first one that is announced stays: whoever has the
 * present key as well can't put another in its place; that is refused, and told.
 * @param jws a `NextKey` by the present key
 */
export async function pinNextKey(deps: KeyDeps & { readonly refuse: Refuse }, jws: string): Promise<void> {
  const { config, paths, log, refuse } = deps;
  const opened = await verifySigned(jws, config.controlKey, JWS_TYPES.nextKey, NextKey);
  if (!opened.ok) return await refuse("key.refused", "next key", `the next signing key ${opened.message}`);
  const { next } = opened.value;
  if (next === config.controlKey || next === config.nextControlKey) return;
  if (config.nextControlKey !== undefined) {
    const message = `another next signing key was announced than the one this host has pinned (${config.nextControlKey}): has somebody else used the control plane's key? If not, as root: holdfast-agent enroll with a new token`;
    return await refuse("key.refused", "next key", message);
  }
  await writeConfig(paths, { ...config, nextControlKey: next });
  Object.assign(config, { nextControlKey: next });
  log(`the control plane's next signing key is pinned: ${next}`);
}

/** The next key becomes the only one that counts. */
export async function takeNextKey({ paths, config, log }: KeyDeps): Promise<void> {
  const { nextControlKey, ...rest } = config;
  if (nextControlKey === undefined) return;
  await writeConfig(paths, { ...rest, controlKey: nextControlKey });
  Object.assign(config, { controlKey: nextControlKey });
  delete config.nextControlKey;
  log(`the control plane signs with its next key now, and with no other: ${nextControlKey}`);
}
