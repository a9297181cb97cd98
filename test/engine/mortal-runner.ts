import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { agentPaths } from "../../agent/config.ts";
import { backup, restore } from "../../agent/runs.ts";
import { type RunnerDeps, type RunnerInput } from "../../agent/run/deps.ts";
import { recoverInterrupted } from "../../agent/recover.ts";
import { RestoreRequest } from "../../shared/assignment.ts";
import { openSpool } from "../../agent/state/spool.ts";
import type { Work } from "./engine-host.ts";

// A program of its own that runs one backup or restore, or ends what another one left, for tests that kill it:
// mortal-runner.ts ROOT RUN-ID [restore|recover], the work in ROOT/work.json.
const [root = "", runId = "", kind = "backup"] = process.argv.slice(2);
const paths = agentPaths(root);
const { assignment, binding } = JSON.parse(readFileSync(`${root}/work.json`, "utf8")) as Work;
const deps: RunnerDeps = {
  paths,
  spool: openSpool(paths),
  clock: Date,
  random: (bytes) => randomBytes(bytes),
  log: () => undefined,
  onProgress: () => undefined,
};
const input: RunnerInput = {
  assignment,
  binding,
  runId,
  trigger: "schedule",
  scheduledAt: null,
  signal: new AbortController().signal,
};
if (kind === "backup") await backup(deps, input);
else if (kind === "recover") await recoverInterrupted(deps, assignment);
else await restore(deps, { ...input, restore: RestoreRequest.parse({ snapshot: "latest" }) });
