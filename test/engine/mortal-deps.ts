import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { agentPaths } from "../../agent/config.ts";
import type { RunnerDeps } from "../../agent/run/deps.ts";
import { openSpool } from "../../agent/state/spool.ts";
import type { Work } from "./engine-host.ts";

/** What a program that a test kills works with, at an engine host's root, and the work that the test left there. */
export function mortalDeps(root: string): { deps: RunnerDeps; work: Work } {
  const paths = agentPaths(root);
  const deps: RunnerDeps = {
    paths,
    spool: openSpool(paths),
    clock: Date,
    random: (bytes) => randomBytes(bytes),
    log: () => undefined,
    onProgress: () => undefined,
  };
  return { deps, work: JSON.parse(readFileSync(`${root}/work.json`, "utf8")) as Work };
}
