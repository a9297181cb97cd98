import type { AgentFiles } from "../../deps.ts";

/** The agent's files among the Worker's static assets, which the runtime itself serves under /install/. */
export function readAgentFiles(assets: Fetcher): AgentFiles {
  return {
    read: async (name) => {
      // Only the path counts.
      const answer = await assets.fetch(`https://assets.invalid/install/${name}`);
      return answer.ok ? await answer.text() : null;
    },
  };
}
