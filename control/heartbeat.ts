import { messageOf } from "../shared/error-message.ts";
import type { Deps, Post } from "./deps.ts";
import { recordVital, healthProblem } from "./domain/service/vitals.ts";

/** Somebody else's dead man's switch: it tells a person when it no longer hears of the control plane. */
export interface Heartbeat {
  /** A secret: whoever has it can keep the switch quiet. */
  readonly url: string;
  readonly post: Post;
}

/** A little less than the minute it is meant to be: a sweep never comes exactly on time. */
const HEARTBEAT_INTERVAL_MS = 55_000;

/**
 * After a sweep that ran to its end: says so to the dead man's switch, at most once a minute, and only as long as the outbox works
 * too. That it does not get through is logged; the switch itself is what notices.
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
    if (status < 200 || status > 299) deps.log.error("the heartbeat was not taken", { status });
  } catch (error) {
    deps.log.error("the heartbeat could not be sent", {
      error: messageOf(error),
    });
  }
}
