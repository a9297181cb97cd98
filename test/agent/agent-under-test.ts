import { agentIn } from "../support/agent.ts";
import type { AgentProcess } from "../support/agent.ts";

/** The agent from its source, or the program that HOLDFAST_AGENT_PROGRAM names: the compiled file, say. */
export function agentUnderTest(root: string, environment: Record<string, string> = {}): AgentProcess {
  return agentIn(root, environment, process.env["HOLDFAST_AGENT_PROGRAM"]);
}
