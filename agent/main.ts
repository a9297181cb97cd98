import { randomBytes } from "node:crypto";
import { uptime } from "node:os";
import { text } from "node:stream/consumers";
import { approve } from "./cli/approve.ts";
import { backup } from "./cli/backup.ts";
import { copySqliteVerb } from "./cli/copy-sqlite.ts";
import type { CliDeps } from "./cli/deps.ts";
import { doctor } from "./cli/doctor.ts";
import { enrollVerb } from "./cli/enroll.ts";
import { exec } from "./cli/exec.ts";
import { fetchSnapshotVerb } from "./cli/fetch-snapshot.ts";
import { policy } from "./cli/policy.ts";
import { recover } from "./cli/recover.ts";
import { recovery } from "./cli/recovery.ts";
import { restore } from "./cli/restore.ts";
import { rotate } from "./cli/rotate.ts";
import { run } from "./cli/run.ts";
import { snapshots } from "./cli/snapshots.ts";
import { status } from "./cli/status.ts";
import { listenForStop } from "./cli/stop-signal.ts";
import { uninstall } from "./cli/uninstall.ts";
import { check, forget, prune } from "./cli/upkeep.ts";
import { runVerb, type Verb } from "./cli/verb.ts";
import { forTerminal } from "../shared/terminal.ts";
import { agentPaths } from "./config.ts";
import { becomeWantedUser } from "./system/own-program.ts";

/** In the order of the help. */
const verbs: readonly Verb[] = [
  enrollVerb,
  run,
  status,
  backup,
  snapshots,
  restore,
  forget,
  check,
  prune,
  rotate,
  exec,
  approve,
  policy,
  recovery,
  recover,
  doctor,
  uninstall,
  copySqliteVerb,
  fetchSnapshotVerb,
];

const deps: CliDeps = {
  paths: agentPaths(process.env["HOLDFAST_AGENT_ROOT"] ?? ""),
  clock: Date,
  uptime: () => uptime() * 1000,
  random: (bytes) => randomBytes(bytes),
  out: (text) => void process.stdout.write(forTerminal(text)),
  log: (line) => void process.stderr.write(`${forTerminal(line)}\n`),
  stdin: async () => (process.stdin.isTTY ? "" : await text(process.stdin)),
  env: process.env,
  stopSignal: listenForStop,
};

becomeWantedUser(process.env);
process.umask(0o077);
process.exitCode = await runVerb(deps, verbs, process.argv.slice(2));
