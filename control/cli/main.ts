import { forTerminal } from "../../shared/terminal.ts";
import { start } from "./start.ts";
import { approvals } from "./approvals.ts";
import { audit } from "./audit.ts";
import { calendar } from "./calendar.ts";
import { catalog } from "./catalog.ts";
import { channels, deliveries, retry } from "./channels.ts";
import { copyDatabase, migrate } from "./database.ts";
import { enroll } from "./enroll.ts";
import { acknowledge, incidents } from "./incidents.ts";
import { accept, dismiss, proposals } from "./proposals.ts";
import { instances } from "./instances.ts";
import { recovery } from "./recovery.ts";
import { recoveryKey } from "./recovery-key.ts";
import { restoreControl } from "./restore-control.ts";
import { restore, run } from "./runs.ts";
import { seal } from "./seal.ts";
import { rows } from "./rows.ts";
import { signingKey } from "./signing-key.ts";
import { serve } from "./serve.ts";
import { status } from "./status.ts";
import type { Terminal } from "./terminal.ts";
import { token } from "./token.ts";
import { check, forget, prune } from "./upkeep.ts";
import { runProgram } from "./verb.ts";

/** All verbs, in the order of the help. */
const verbs = [
  start,
  serve,
  token,
  enroll,
  status,
  approvals,
  instances,
  incidents,
  acknowledge,
  run,
  restore,
  forget,
  check,
  prune,
  catalog,
  proposals,
  accept,
  dismiss,
  calendar,
  audit,
  seal,
  signingKey,
  recovery,
  recoveryKey,
  restoreControl,
  channels,
  deliveries,
  retry,
  rows,
  migrate,
  copyDatabase,
];

const terminal: Terminal = {
  env: process.env,
  out: (text) => process.stdout.write(forTerminal(text)),
  err: (text) => process.stderr.write(forTerminal(text)),
};

// Files created here hold secrets (token hashes, webhook secrets, keys): readable by their owner only.
process.umask(0o077);
// A reader that closes the pipe early (`| head`) is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});
process.exitCode = await runProgram(verbs, process.argv.slice(2), terminal);
