import { stat } from "node:fs/promises";
import { messageOf } from "../../shared/error-message.ts";
import { ApiError, openApi } from "../link/api.ts";
import { loadInForce } from "../in-force/in-force.ts";
import { EXIT } from "../../shared/node/arguments.ts";
import type { CliDeps } from "./deps.ts";
import { examineRestores } from "./doctor-restores.ts";
import { readConfig } from "../config.ts";
import type { AgentConfig } from "../config.ts";
import { summarizeDeclared } from "../declared/contract-files.ts";
import { readDaemonState } from "../daemon/claim.ts";
import { isMissing } from "../../shared/node/files.ts";
import { loadIdentity } from "../link/identity.ts";
import { readInstance } from "../link/instance.ts";
import { loadPolicy } from "../policy/policy.ts";
import { readWaiting } from "../policy/waiting.ts";
import { findEngines } from "../providers/engines.ts";
import { findMissingResults } from "../daemon/scripts.ts";
import { listSnapshots } from "../runs.ts";
import { RunError } from "../run-error.ts";
import { openSpool } from "../state/spool.ts";
import { findTroubles } from "../state/troubles.ts";
import type { Verb } from "./verb.ts";

/** One finding: the state, and what to do if it is not ok. */
interface Finding {
  level: "ok" | "warn" | "fail";
  subject: string;
  message: string;
}

const OLD_REPORT_MS = 3_600_000;
const CLOCK_MATTERS_MS = 60_000;

/** Checks everything a backup of this host needs. The exit status is that of the worst finding. */
export const doctor: Verb = {
  name: "doctor",
  help: { usage: "doctor [--json]", summary: "look for what is wrong" },
  takes: { flags: ["json"] },
  async run(deps, given) {
    const json = given.flag("json");
    const findings: Finding[] = [];
    await examineAll(deps, (level, subject, message) => {
      findings.push({ level, subject, message });
      if (!json) deps.out(`${level.padEnd(4)}  ${subject}: ${message}\n`);
    });
    if (json) deps.out(`${JSON.stringify(findings, null, 2)}\n`);
    if (findings.some(({ level }) => level === "fail")) return EXIT.failed;
    return findings.some(({ level }) => level === "warn") ? EXIT.warned : EXIT.done;
  },
};

type AddFinding = (level: Finding["level"], subject: string, message: string) => void;

async function examineAll(deps: CliDeps, found: AddFinding): Promise<void> {
  const config = await readConfig(deps.paths);
  if (config === null) {
    found("fail", "enrolment", "this machine is not enrolled: run 'holdfast-agent enroll --url URL --token-file FILE'");
  } else {
    found("ok", "enrolment", `host ${config.name} of ${config.url}`);
    await examineControl(deps, { config, found });
    await examineDaemon(deps, found);
  }
  await examineEngines(found);
  await examinePolicy(deps, found);
  await examineContracts(deps, found);
  await examineSpool(deps, found);
  for (const { code, message } of await findTroubles(deps.paths)) found("fail", code, message);
  if (config !== null) {
    await examineResults(deps, { config, found });
    await examineRepositories(deps, { config, found });
  }
}

async function examineControl(
  deps: CliDeps,
  { config, found }: { config: AgentConfig; found: AddFinding },
): Promise<void> {
  try {
    const identity = await loadIdentity(deps.paths);
    if (identity === null)
      return found("fail", "key", `${deps.paths.keyFile} is gone: run 'holdfast-agent uninstall', then enrol again`);
    found("ok", "key", `${deps.paths.keyFile} is this agent's alone`);
    const instance = await readInstance(deps.paths);
    const api = openApi({ config, identity, clock: deps.clock, random: deps.random, instance });
    await api.getOrders();
    found("ok", "control plane", `${config.url} answers and knows this host`);
    const seconds = Math.round(api.clockOffset() / 1000);
    const isFar = Math.abs(api.clockOffset()) > CLOCK_MATTERS_MS;
    const by =
      seconds === 0
        ? "agrees with the control plane's"
        : `is ${Math.abs(seconds)} s ${seconds > 0 ? "behind" : "ahead of"} the control plane's`;
    found(
      isFar ? "warn" : "ok",
      "clock",
      isFar ? `${by}: runs begin at the wrong time; let this host keep its time (NTP)` : by,
    );
  } catch (error) {
    if (!(error instanceof ApiError)) return found("fail", "key", messageOf(error));
    if (error.kind === "revoked")
      return found("fail", "control plane", "it has revoked this host: enrol again with a new token");
    found("warn", "control plane", `${error.message}. Backups continue; reports are kept until it is back`);
  }
}

async function examineDaemon(deps: CliDeps, found: AddFinding): Promise<void> {
  const daemon = await readDaemonState(deps.paths);
  if (daemon === null) {
    found(
      "fail",
      "agent",
      "not running, so no scheduled backups: 'systemctl start holdfast-agent' or 'holdfast-agent run'",
    );
  } else if (daemon.socket === "closed") {
    found(
      "warn",
      "socket",
      `closed since ${daemon.since}: orders arrive only by polling, every few minutes; see the agent's log`,
    );
  } else {
    found("ok", "socket", `open since ${daemon.since}`);
  }
}

/** One engine is enough, unless a repository of this host needs the other: that repository's own check reports it. */
async function examineEngines(found: AddFinding): Promise<void> {
  const engines = await findEngines();
  if (engines.every(({ fault }) => fault !== null)) {
    const how = "apt install restic or borgbackup, or name one with HOLDFAST_RESTIC or HOLDFAST_BORG";
    found("fail", "engine", `there is neither a restic nor a borg that can be used: ${how}`);
  }
  for (const { provider, version, path, fault } of engines) {
    if (fault === null) found("ok", provider, `${version} at ${path}`);
    else found("warn", provider, `${path}: ${fault}`);
  }
}

async function examinePolicy(deps: CliDeps, found: AddFinding): Promise<void> {
  const policy = await loadPolicy(deps.paths);
  if (policy.fault !== null) found("fail", "policy", `${policy.fault}. Until it is fixed, nothing is allowed`);
  else found("ok", "policy", `level ${policy.level}, hooks ${policy.hooks}, restore ${policy.restore}`);
  const waiting = await readWaiting(deps);
  if (waiting.length === 0) found("ok", "approvals", "nothing waits for root");
  else found("warn", "approvals", `${waiting.length} things wait for root: holdfast-agent approve shows them`);
  await examineHooks(deps, found);
}

/** Whoever may write into hooks.d may run anything as the contracts' users. */
async function examineHooks(deps: CliDeps, found: AddFinding): Promise<void> {
  const { hooksDir } = deps.paths;
  try {
    const { mode, uid } = await stat(hooksDir);
    const own = process.getuid?.() ?? 0;
    if ((mode & 0o022) !== 0) found("fail", "hooks", `others may write into ${hooksDir}: chmod go-w it`);
    else if (uid !== 0 && uid !== own) found("fail", "hooks", `${hooksDir} belongs to user ${uid}: chown it to root`);
    else found("ok", "hooks", `${hooksDir} is root's alone`);
  } catch (error) {
    if (!isMissing(error)) throw error;
    found("ok", "hooks", `there is no ${hooksDir}, so no hooks`);
  }
}

async function examineContracts(deps: CliDeps, found: AddFinding): Promise<void> {
  const { declared, faults } = await summarizeDeclared(deps.paths);
  for (const { file, message } of faults) found("fail", "contracts.d", `${file}: ${message}`);
  if (faults.length === 0) found("ok", "contracts.d", declared === 0 ? "declares nothing" : `declares ${declared}`);
}

async function examineSpool(deps: CliDeps, found: AddFinding): Promise<void> {
  const entries = await openSpool(deps.paths).list();
  const finishedAt = entries.flatMap(({ report }) =>
    report.type === "refusal" ? [report.at] : (report.run.finishedAt ?? []),
  );
  const oldest = finishedAt.toSorted()[0];
  if (oldest === undefined) return found("ok", "reports", "all are delivered");
  const isOld = deps.clock.now() - Date.parse(oldest) > OLD_REPORT_MS;
  const message = `${finishedAt.length} wait to be delivered, the oldest since ${oldest}`;
  found(isOld ? "warn" : "ok", "reports", isOld ? `${message}: is the control plane reachable?` : message);
}

async function examineResults(
  deps: CliDeps,
  { config, found }: { config: AgentConfig; found: AddFinding },
): Promise<void> {
  const assignment = await loadInForce({ ...deps, config });
  if (assignment === null) return;
  const missing = await findMissingResults(deps.paths, assignment);
  for (const trouble of missing) found("warn", "results", trouble);
  if (missing.length === 0) found("ok", "results", "every binding has its command, and there is the unit they share");
}

async function examineRepositories(
  deps: CliDeps,
  { config, found }: { config: AgentConfig; found: AddFinding },
): Promise<void> {
  const assignment = await loadInForce({ ...deps, config });
  if (assignment === null) return found("warn", "assignment", "none yet: this host has nothing to back up");
  found("ok", "assignment", `revision ${assignment.revision}, ${assignment.bindings.length} bindings`);
  await examineRestores(deps, { assignment, found });
  const runner = { ...deps, spool: openSpool(deps.paths), onProgress: () => {} };
  for (const repository of assignment.repositories) {
    const binding = assignment.bindings.find((one) => one.repository === repository.id);
    if (binding === undefined) continue;
    const subject = `repository ${repository.name}`;
    try {
      const snapshots = await listSnapshots(runner, { assignment, binding });
      found("ok", subject, `opens, and holds ${snapshots.length} snapshots of ${binding.name}`);
    } catch (error) {
      if (!(error instanceof RunError)) throw error;
      const { code, message, next } = error.failure;
      const isYetToCome = code === "repository.missing" && repository.engineId === null && !repository.existing;
      if (isYetToCome) found("ok", subject, "is not there yet; the first backup creates it");
      else found(code === "repository.locked" ? "warn" : "fail", subject, `${message}. ${next}`);
    }
  }
}
