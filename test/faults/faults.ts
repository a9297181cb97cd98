import { agentKilled } from "./agent-killed.ts";
import type { Fault } from "./fault.ts";

/** Every fault there is, in the order they are played. */
export const FAULTS: readonly Fault[] = [agentKilled];
