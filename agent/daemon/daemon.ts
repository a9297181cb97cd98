import { acceptChainHead } from "../link/chain-head.ts";
import { openApi } from "../link/api.ts";
import { readConfig } from "../config.ts";
import type { AgentConfig, Paths } from "../config.ts";
import { claimDaemon } from "./claim.ts";
import { removeStaleTempFiles } from "../../shared/node/files.ts";
import { finishKeyReplacement } from "../link/host-key.ts";
import { startInstance } from "../link/instance.ts";
import { loadIdentity } from "../link/identity.ts";
import { serve } from "./serve.ts";
import type { ServeDeps } from "./serve.ts";
import { processRefOf } from "../system/process/process-ref.ts";

const CONFIG_POLL_MS = 10_000;

/**
 * Runs the daemon until `stop` is aborted. Then cancels running jobs and tries to report them.
 * @returns the exit status
 */
export async function runDaemon(deps: ServeDeps, stop: AbortSignal): Promise<number> {
  const claim = await claimDaemon(deps.paths);
  if (!claim.ok) {
    deps.log(
      `the agent is already running${claim.pid === null ? "" : ` (process ${claim.pid})`}; a second one would run every job twice`,
    );
    return 75;
  }
  try {
    await removeStaleTempFiles(directoriesOf(deps.paths), (pid) => processRefOf(pid) !== null);
    const instance = await startInstance(deps.paths);
    while (!stop.aborted) {
      const config = await readConfig(deps.paths);
      if (config !== null) await finishKeyReplacement({ ...deps, config });
      const identity = config === null ? null : await loadIdentity(deps.paths);
      if (config === null || identity === null) {
        deps.log("this machine is not enrolled: run 'holdfast-agent enroll --url URL --token-file FILE' first");
        return 1;
      }
      const enrolledAgain = new AbortController();
      const stopWatching = watchConfig(deps, config, () => enrolledAgain.abort());
      const until = AbortSignal.any([stop, enrolledAgain.signal]);
      const onChainHead = (jws: string): Promise<void> => acceptChainHead({ ...deps, config }, jws);
      const reloadIdentity = (): ReturnType<typeof loadIdentity> => loadIdentity(deps.paths);
      const api = openApi({ ...deps, config, identity, instance, onChainHead, reloadIdentity });
      await serve(deps, { config, api }, until);
      stopWatching();
    }
    return 0;
  } finally {
    await claim.release();
  }
}

/** Every directory the agent writes to. */
function directoriesOf({ etc, state, ...paths }: Paths): string[] {
  const { ordersDir, spoolDir, bindingsDir, repositoriesDir, secretsDir, locksDir } = paths;
  return [etc, state, ordersDir, spoolDir, bindingsDir, repositoriesDir, secretsDir, locksDir];
}

/** A revoked host that is enrolled again is a new host, with another key: the daemon restarts as that host. */
function watchConfig(deps: ServeDeps, config: AgentConfig, then: () => void): () => void {
  let cancelTimer = (): void => {};
  const check = async (): Promise<void> => {
    const now = await readConfig(deps.paths).catch(() => null);
    if (now !== null && now.host !== config.host) return then();
    wait();
  };
  const wait = (): void => {
    cancelTimer = deps.timers.after(CONFIG_POLL_MS, () => void check());
  };
  wait();
  return () => cancelTimer();
}
