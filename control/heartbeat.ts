import { messageOf } from "../shared/error-message.ts";
import type { Deps, Post } from "./deps.ts";
import { recordVital, healthProblem } from "./domain/service/vitals.ts";

/** An external dead man's switch: it alerts a person when the pings of the control plane stop. */
export interface Heartbeat {
  /** A secret: anyone who has it can ping the switch. */
  readonly url: string;
  readonly post: Post;
}

/** A little less than a minute, because sweeps do not start exactly on time. */
const HEARTBEAT_INTERVAL_MS = 55_000;

/**
 * Pings the dead man's switch, at most once a minute. Call it after a complete sweep. Sends nothing while the control
 * plane is unhealthy. A failed ping is only logged: the switch alerts by itself.
 */
export async function sendHeartbeat(
  deps: Pick<Deps, "db" | "clock" | "log">,
  heartbeat: Heartbeat | null,
): Promise<void> {
  if (heartbeat === null) return;
  try {
    const why = await healthProblem(deps);
    if (why !== null) return deps.log.error("no heartbeat is sent", { why });
    if (!(await recordVital(deps, "heartbeat", HEARTBEAT_INTERVAL_MS))) return;
    const { url, post } = heartbeat;
    const { status } = await post({ method: "GET", url, headers: { "user-agent": "Holdfast" }, body: "" });
    if (status < 200 || status > 299) deps.log.error("the heartbeat URL answered with an error", { status });
  } catch (error) {
    deps.log.error("the heartbeat could not be sent", {
      error: messageOf(error),
    });
  }
}
