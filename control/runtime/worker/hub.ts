import type { Log } from "../../deps.ts";
import type { Hub } from "../../hub/hub.ts";
import type { HostHub } from "./host-hub.ts";

/** The hub over one Durable Object per host, named by the host's id. */
export function openHub(objects: DurableObjectNamespace<HostHub>, log: Log): Hub {
  const attempt = async (what: string, host: string, call: () => Promise<unknown>): Promise<void> => {
    try {
      await call();
    } catch (error) {
      log.error(`could not reach the host's object to ${what}`, { host, error: String(error) });
    }
  };
  return {
    poke: (host, pull) => attempt("poke", host, () => objects.getByName(host).poke(pull)),
    disconnect: (host, why) => attempt("disconnect", host, () => objects.getByName(host).disconnect(why)),
  };
}
