import type { DeclarationFault } from "../shared/declaration.ts";
import { instant } from "../shared/ids.ts";
import type { Instant } from "../shared/ids.ts";
import { type Result, resultOf } from "../shared/result.ts";
import { isOver } from "../shared/run.ts";
import { loadAssignment } from "./assignments.ts";
import { EXIT } from "./by-hand.ts";
import type { CliDeps } from "./by-hand.ts";
import { readConfig } from "./config.ts";
import { surveyDeclared } from "./declared/contract-files.ts";
import { readDaemonState } from "./daemon-claim.ts";
import { hostZone } from "./facts.ts";
import { missingResults } from "./results.ts";
import { nextDueAt } from "./scheduler.ts";
import { openSpool } from "./spool.ts";
import { upkeepLines, type UpkeepStatus, upkeepStatus } from "./status-upkeep.ts";
import { VERSION } from "./version.ts";

interface Status {
  version: string;
  enrolled: { host: string; name: string; url: string } | null;
  daemon: { pid: number; socket: "open" | "closed"; since: Instant } | null;
  revision: number | null;
  bindings: {
    id: string;
    name: string;
    state: "paused" | "off" | "on";
    running: boolean;
    nextDueAt: Instant | null;
    result: Result;
  }[];
  /** Prunes and checks of the repositories this host maintains. */
  upkeep: UpkeepStatus[];
  /** What of the results is not on the host, and why. */
  missingResults: string[];
  undelivered: number;
  /** Of contracts.d: how many it declares, and which files are not followed. */
  contracts: { declared: number; faults: DeclarationFault[] };
}

/** Says how this host is, from its own files, without asking anybody. @returns the exit status */
export async function sayStatus(deps: CliDeps, input: { json: boolean }): Promise<number> {
  const status = await statusOf(deps);
  deps.out(input.json ? `${JSON.stringify(status, null, 2)}\n` : `${linesOf(status).join("\n")}\n`);
  if (status.enrolled === null) return EXIT.failed;
  return status.daemon === null || status.contracts.faults.length > 0 ? EXIT.warned : EXIT.done;
}

async function statusOf(deps: CliDeps): Promise<Status> {
  const config = await readConfig(deps.paths);
  const daemon = await readDaemonState(deps.paths);
  const assignment = config === null ? null : await loadAssignment({ ...deps, config });
  const entries = config === null ? [] : await openSpool(deps.paths).list();
  const running = new Set(
    entries.flatMap(({ report }) => (report.type === "run" && !isOver(report.run.state) ? [report.run.binding] : [])),
  );
  const now = { now: deps.clock.now(), zone: hostZone() };
  const bindings: Status["bindings"] = [];
  for (const binding of assignment?.bindings ?? []) {
    const dueAt = await nextDueAt(deps.paths, { kind: "backup", binding }, now);
    bindings.push({
      id: binding.id,
      name: binding.name,
      state: binding.paused ? "paused" : binding.settings.enable ? "on" : "off",
      running: running.has(binding.id),
      nextDueAt: dueAt === null ? null : instant(dueAt),
      result: resultOf(binding.name),
    });
  }
  return {
    version: VERSION,
    enrolled: config === null ? null : { host: config.host, name: config.name, url: config.url },
    daemon: daemon === null ? null : { pid: daemon.process.pid, socket: daemon.socket, since: daemon.since },
    revision: assignment?.revision ?? null,
    bindings,
    upkeep: await upkeepStatus(deps.paths, assignment, now),
    contracts: await surveyDeclared(deps.paths),
    missingResults: assignment === null ? [] : await missingResults(deps.paths, assignment),
    undelivered: entries.filter(({ report }) => report.type === "refusal" || isOver(report.run.state)).length,
  };
}

function linesOf(status: Status): string[] {
  const { enrolled, daemon, contracts } = status;
  if (enrolled === null) return ["not enrolled: run 'holdfast-agent enroll --url URL --token TOKEN'"];
  return [
    `host        ${enrolled.name} (${enrolled.host})`,
    `control     ${enrolled.url}`,
    daemon === null
      ? "agent       not running: start it with 'systemctl start holdfast-agent' or 'holdfast-agent run'"
      : `agent       running as process ${daemon.pid}, socket ${daemon.socket} since ${daemon.since}`,
    `assignment  ${status.revision === null ? "none yet" : `revision ${status.revision}`}`,
    `reports     ${status.undelivered === 0 ? "all delivered" : `${status.undelivered} to be delivered`}`,
    ...(contracts.declared + contracts.faults.length === 0 ? [] : [`contracts   ${contracts.declared} declared here`]),
    ...contracts.faults.map(({ file, message }) => `fault       ${file}: ${message}`),
    ...status.bindings.map((binding) => {
      const when = binding.state === "on" ? `next ${binding.nextDueAt ?? "never"}` : binding.state;
      return `binding     ${binding.name}: ${binding.running ? "running, " : ""}${when}`;
    }),
    ...upkeepLines(status.upkeep),
    ...status.missingResults.map((trouble) => `result      ${trouble}`),
  ];
}
