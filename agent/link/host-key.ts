import { messageOf } from "../../shared/error-message.ts";
import type { AgentConfig, Paths } from "../config.ts";
import { type Api, ApiError, openApi } from "./api.ts";
import { readInstance } from "./instance.ts";
import {
  type Identity,
  loadIdentity,
  loadNextIdentity,
  loadOrCreateNextIdentity,
  proveNewKey,
  takeNextIdentity,
} from "./identity.ts";

export interface HostKeyDeps {
  readonly paths: Paths;
  readonly config: AgentConfig;
  readonly clock: { now(): number };
  readonly random: (bytes: number) => Uint8Array;
  readonly log: (line: string) => void;
}

/**
 * Replaces this host's key: the new one is on disk before the control plane is told, and takes the old one's place once
 * it was told. Cut off anywhere, it is finished by the next call or by the daemon's next start.
 * @returns the new public key. @throws ApiError, Error
 */
export async function replaceHostKey(deps: HostKeyDeps): Promise<string> {
  const present = await loadIdentity(deps.paths);
  if (present === null) throw new Error(`${deps.paths.keyFile} is gone: enrol this host again`);
  const next = await loadOrCreateNextIdentity(deps.paths);
  if (!(await isKnownAs(deps, next))) {
    const proof = await proveNewKey(next, { host: deps.config.host, previous: present.publicKey });
    await (await apiAs(deps, present)).putKey(proof);
  }
  await takeNextIdentity(deps.paths);
  return next.publicKey;
}

/** Finishes a replacement that was cut off. Where the control plane is away, the present key goes on counting. */
export async function finishKeyReplacement(deps: HostKeyDeps): Promise<void> {
  if ((await loadNextIdentity(deps.paths).catch(() => null)) === null) return;
  try {
    await replaceHostKey(deps);
    deps.log("this host's key was being replaced: the new one is in use now");
  } catch (error) {
    deps.log(`this host's key is being replaced, and that can't be finished yet: ${messageOf(error)}`);
  }
}

/** Whether the control plane has this key already. */
async function isKnownAs(deps: HostKeyDeps, identity: Identity): Promise<boolean> {
  try {
    await (await apiAs(deps, identity)).getOrders();
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.kind === "rejected") return false;
    throw error;
  }
}

/** In the name of this host's daemon: a process without a name would pass for a copy of this machine. */
async function apiAs(deps: HostKeyDeps, identity: Identity): Promise<Api> {
  return openApi({ ...deps, identity, instance: await readInstance(deps.paths) });
}
