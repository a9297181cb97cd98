import type { EngineFacts } from "../../shared/host.ts";
/** The engines found on this host. */
export function findEngines(): Promise<EngineFacts[]> {
  throw new Error("being written");
}
