import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { agentPaths } from "../../agent/config.ts";
import type { Paths } from "../../agent/config.ts";

/** A root of an agent's own, gone when the test is over. */
export async function scratchRoot(): Promise<{ root: string; paths: Paths }> {
  const root = await mkdtemp(join(tmpdir(), "holdfast-agent-"));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  return { root, paths: agentPaths(root) };
}
