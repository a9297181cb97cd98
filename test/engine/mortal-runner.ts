import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { agentPaths } from "../../agent/config.ts";
import { backup } from "../../agent/runner.ts";
import { openSpool } from "../../agent/spool.ts";
import type { Work } from "./engine-host.ts";

// A program of its own that runs one backup, for tests that kill it: mortal-runner.ts ROOT RUN-ID, the work in ROOT/work.json.
const [root = "", runId = ""] = process.argv.slice(2);
const paths = agentPaths(root);
const { assignment, binding } = JSON.parse(readFileSync(`${root}/work.json`, "utf8")) as Work;
await backup(
  {
    ...{ paths, spool: openSpool(paths), clock: Date, random: (bytes) => randomBytes(bytes) },
    ...{ log: () => undefined, onProgress: () => undefined },
  },
  {
    ...{ assignment, binding, runId, trigger: "schedule", scheduledAt: null },
    signal: new AbortController().signal,
  },
);
