import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { CLOCK_WRONG_MS, formatSkew } from "../../shared/clock-skew.ts";
import { Recovery } from "../../shared/escrow.ts";
import { Host } from "../../shared/host.ts";
import type { Id } from "../../shared/ids.ts";
import { Run } from "../../shared/run.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { minute, table } from "./table.ts";
import { defineVerb } from "./verb.ts";

export const status = defineVerb({
  name: "status",
  usage: "status [--json]",
  summary: "show every host and binding: health, last success, next run",
  options: { json: { type: "boolean" } },
  positionals: [],
  run: async ({ openClient }) => {
    const client = await openClient();
    const [hosts, bindings, failures, recovery] = await Promise.all([
      client.list(Host, "/hosts"),
      client.list(Binding, "/bindings"),
      lastFailures(client),
      client.ask(Recovery, "GET", "/recovery"),
    ]);
    const withFailure = bindings.map((binding) => ({ ...binding, lastFailure: failures.get(binding.id) ?? null }));
    return {
      json: { hosts, bindings: withFailure, recovery },
      text: `${hostTable(hosts)}${waitingLines(hosts)}${faultLines(hosts)}${recoveryLines(recovery)}\n${bindingTable(hosts, bindings, failures)}`,
    };
  },
});

/** Nothing when the printed kit opens everything, or there is none. */
function recoveryLines({ recipient, newer, missing }: Recovery): string {
  if (recipient === null) return "";
  const lines = missing.map(
    ({ repository, hosts }) =>
      `the recovery kit does not open ${repository} yet: holdfast-agent recovery --grant ${recipient}, as root on ${hosts.join(" or ")}\n`,
  );
  if (newer > 0)
    lines.push(`${newer} repositories are newer than the printed recovery kit: holdfast recovery print KITFILE\n`);
  return lines.length === 0 ? "" : `\n${lines.join("")}`;
}

/** The newest failed run of each binding, among the last 500 failures. */
async function lastFailures(client: Client): Promise<Map<Id, Run>> {
  const failed = await client.ask(page(Run), "GET", "/runs?state=failed&limit=500");
  const newest = new Map<Id, Run>();
  for (const run of failed.items) {
    if (run.binding !== null && !newest.has(run.binding)) newest.set(run.binding, run);
  }
  return newest;
}

function hostTable(hosts: Host[]): string {
  const rows = hosts.map(({ name, online, revokedAt, lastSeenAt, clockSkewMs, facts }) => [
    name,
    revokedAt !== null ? "revoked" : online ? "online" : "offline",
    minute(lastSeenAt),
    clockSkewMs === null ? "-" : Math.abs(clockSkewMs) > CLOCK_WRONG_MS ? formatSkew(clockSkewMs) : "ok",
    facts?.level ?? "-",
  ]);
  return table([["HOST", "STATE", "LAST SEEN", "CLOCK", "LEVEL"], ...rows]);
}

function waitingLines(hosts: Host[]): string {
  const lines = hosts.flatMap(({ name, facts, revokedAt, instances }) => {
    if (revokedAt === null && instances !== null && instances.contestedAt !== null)
      return [`${name}: two machines use its key: see 'holdfast instances ${name}'\n`];
    const count = revokedAt === null ? (facts?.approvals.length ?? 0) : 0;
    return count === 0 ? [] : [`${name}: ${count} wait${count === 1 ? "s" : ""} for root: see 'holdfast approvals'\n`];
  });
  return lines.length === 0 ? "" : `\n${lines.join("")}`;
}

/** Faults in contracts.d: services that their owner wants backed up, but that are not. */
function faultLines(hosts: Host[]): string {
  const lines = hosts.flatMap(({ name, declarationFaults }) =>
    declarationFaults.map(({ file, message }) => `${name}: ${placeOf(file)} is not in force: ${message}\n`),
  );
  return lines.length === 0 ? "" : `\n${lines.join("")}`;
}

function placeOf(file: string): string {
  return file === "contracts.d" ? file : `contracts.d/${file}`;
}

function bindingTable(hosts: Host[], bindings: Binding[], failures: Map<Id, Run>): string {
  const names = new Map(hosts.map(({ id, name }) => [id, name]));
  const rows = bindings.map(({ id, host, name, health, lastSuccessAt, nextRunAt, lateAt }) => {
    const failure = failures.get(id);
    const failed = failure === undefined ? "-" : `${minute(failure.finishedAt)} ${failure.failure?.code ?? ""}`;
    const times = [lastSuccessAt, nextRunAt, lateAt].map(minute);
    return [names.get(host) ?? host, name, health, ...times, failed];
  });
  return table([["HOST", "BINDING", "HEALTH", "LAST SUCCESS", "NEXT RUN", "LATE FROM", "LAST FAILURE"], ...rows]);
}
