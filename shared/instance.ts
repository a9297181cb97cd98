import * as z from "zod";

/** Which process of an agent sends a request: a random id made when it started, and those it may have come after. */
export const INSTANCE_HEADER = "holdfast-instance";

const InstanceId = z.string().regex(/^[A-Za-z0-9_-]{8,64}$/);

/** The most earlier processes that are named. */
export const MAX_EARLIER = 16;

export interface AgentInstance {
  readonly id: string;
  /** Processes on the same disk before it, back to the last one whose id the control plane is known to have. */
  readonly after: readonly string[];
}

/** `ID`, or `ID after ID,ID`. */
export function formatInstance({ id, after }: AgentInstance): string {
  return after.length === 0 ? id : `${id} after ${after.join(",")}`;
}

/** @returns null when there is none, or it is not one */
export function parseInstance(header: string | null): AgentInstance | null {
  const [, id, after] = /^(\S+)(?: after (\S+))?$/.exec(header ?? "") ?? [];
  const parsed = z
    .object({ id: InstanceId, after: z.array(InstanceId).max(MAX_EARLIER) })
    .safeParse({ id, after: after?.split(",") ?? [] });
  return parsed.success ? parsed.data : null;
}
