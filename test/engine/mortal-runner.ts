import { backup, restore } from "../../agent/runs.ts";
import type { RunnerInput } from "../../agent/run/deps.ts";
import { recoverInterrupted } from "../../agent/recover.ts";
import { RestoreRequest } from "../../shared/assignment.ts";
import { mortalDeps } from "./mortal-deps.ts";

// A program of its own that runs one backup or restore, or ends what another one left, for tests that kill it:
// mortal-runner.ts ROOT RUN-ID [restore|recover], the work in ROOT/work.json.
const [root = "", runId = "", kind = "backup"] = process.argv.slice(2);
const { deps, work } = mortalDeps(root);
const { assignment, binding } = work;
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
