import type { AssignedBinding, Assignment } from "../../shared/assignment.ts";
import type { Ping } from "../../shared/binding.ts";
import { messageOf } from "../../shared/error-message.ts";
import type { Id } from "../../shared/ids.ts";
import type { OutgoingRequest } from "../../shared/outgoing.ts";
import { isGood, type RunState } from "../../shared/run.ts";
import { readOwnContracts } from "../declared/contract-files.ts";
import { sendAllowed, sendDeclared } from "../policy/outgoing.ts";
import { lastLines } from "../system/process/lines.ts";
import type { RunOutcome, RunnerDeps } from "./deps.ts";
import type { RunLog } from "../run-log.ts";

/** The result of a backup as sent to a dead man's switch. */
interface BackupEnd {
  readonly state: RunState;
  /** In one line, without secrets. */
  readonly message: string;
  readonly log: string;
  /** Null when it is not known when it started. */
  readonly tookMs: number | null;
}

interface PingSubject {
  readonly assignment: Assignment;
  readonly binding: AssignedBinding;
  readonly runId: Id;
}

const WITHIN_MS = 10_000;
/** Together with the message less than healthchecks stores of a ping's body, 10 kB. */
const LOG_BYTES = 9_000;
const MOST_MESSAGE = 250;

const pendingPings = new Set<Promise<void>>();

/**
 * Pings the binding's dead man's switches at the start and the end of a backup. A ping never delays the backup or makes
 * it fail: a failed ping is a line in the agent's log.
 * @param backup must pass the run's log to `onLog` once it is open
 */
export async function withPings(
  deps: RunnerDeps,
  of: PingSubject,
  backup: (onLog: (log: RunLog) => void) => Promise<RunOutcome>,
): Promise<RunOutcome> {
  const begunAt = deps.clock.now();
  const starts = of.binding.settings.pings.map((ping) => send(deps, of, ping, startRequest(ping, of.runId)));
  const seen: { log: RunLog | null } = { log: null };
  const outcome = await backup((log) => (seen.log = log));
  const { state, failure, warnings } = outcome;
  const message = failure?.message ?? warnings.join("; ");
  const { log } = seen;
  const end = { state, message: log?.redact(message) ?? message, log: log?.tail() ?? "" };
  sendEndPings(deps, of, { ...end, tookMs: deps.clock.now() - begunAt }, starts);
  return outcome;
}

/** Sends the end ping of an interrupted backup, recovered by another process. */
export function pingBackupEnd(deps: RunnerDeps, of: PingSubject, end: Omit<BackupEnd, "tookMs">): void {
  sendEndPings(deps, of, { ...end, tookMs: null }, []);
}

/** Resolves when every ping has been sent or has failed. */
export async function untilPingsSent(): Promise<void> {
  while (pendingPings.size > 0) await Promise.all(pendingPings);
}

/** In order: a late start ping must not look like another run. */
function sendEndPings(deps: RunnerDeps, of: PingSubject, end: BackupEnd, starts: readonly Promise<void>[]): void {
  for (const [index, ping] of of.binding.settings.pings.entries()) {
    const started = starts[index] ?? Promise.resolve();
    void trackPing(started.then(() => send(deps, of, ping, endRequest(ping, of.runId, end))));
  }
}

function send(deps: RunnerDeps, of: PingSubject, ping: Ping, request: OutgoingRequest | null): Promise<void> {
  return request === null ? Promise.resolve() : trackPing(sendOne(deps, of, { ping, request }));
}

function trackPing(work: Promise<void>): Promise<void> {
  pendingPings.add(work);
  void work.finally(() => pendingPings.delete(work));
  return work;
}

async function sendOne(
  deps: RunnerDeps,
  { assignment, binding }: PingSubject,
  { ping, request }: { ping: Ping; request: OutgoingRequest },
): Promise<void> {
  const name = `the ping of "${binding.name}" to ${new URL(ping.url).origin}`;
  try {
    const { status } = (await isDeclared(deps, { assignment, binding, ping }))
      ? await sendDeclared(request, WITHIN_MS)
      : await sendAllowed(deps, request, { bindings: [binding.name], withinMs: WITHIN_MS });
    if (status < 200 || status > 299) deps.log(`${name} was answered ${status}`);
  } catch (error) {
    deps.log(`${name} was not sent: ${messageOf(error)}`);
  }
}

/** Whether root's own file on this host declares the ping. The control plane's copy of that file is not consulted. */
async function isDeclared(
  { paths }: RunnerDeps,
  { assignment, binding, ping }: { assignment: Assignment; binding: AssignedBinding; ping: Ping },
): Promise<boolean> {
  const contract = assignment.contracts.find(({ id }) => id === binding.contract);
  if (contract?.declared !== true) return false;
  const contracts = await readOwnContracts(paths);
  const own = contracts.find(({ name }) => name === contract.name);
  return own?.bound?.settings.pings.some(({ kind, url }) => kind === ping.kind && url === ping.url) ?? false;
}

/** Uptime Kuma has no start ping. */
function startRequest({ kind, url }: Ping, run: Id): OutgoingRequest | null {
  return kind === "healthchecks" ? healthchecks(url, "/start", run, "") : null;
}

function endRequest({ kind, url }: Ping, run: Id, { state, message, log, tookMs }: BackupEnd): OutgoingRequest {
  const isUp = isGood(state);
  const summary = truncate(`${state}${message === "" ? "" : `: ${message}`}`);
  if (kind === "healthchecks")
    return healthchecks(url, isUp ? "" : "/fail", run, isUp ? summary : `${summary}\n\n${tail(log)}`);
  const target = new URL(url);
  target.searchParams.set("status", isUp ? "up" : "down");
  target.searchParams.set("msg", summary);
  target.searchParams.set("ping", tookMs === null ? "" : String(tookMs));
  return { method: "GET", url: target.href, headers: HEADERS, body: "" };
}

function healthchecks(url: string, path: "" | "/start" | "/fail", run: Id, body: string): OutgoingRequest {
  const target = new URL(url);
  target.pathname = `${target.pathname.replace(/\/+$/, "")}${path}`;
  target.searchParams.set("rid", run);
  return {
    method: "POST",
    url: target.href,
    headers: { ...HEADERS, "content-type": "text/plain; charset=utf-8" },
    body,
  };
}

const HEADERS = { "user-agent": "Holdfast" };

function truncate(text: string): string {
  return text.length <= MOST_MESSAGE ? text : `${text.slice(0, MOST_MESSAGE - 1).toWellFormed()}…`;
}

function tail(log: string): string {
  const lines = lastLines(LOG_BYTES);
  for (const line of log.split("\n")) lines.push(line);
  return lines.text();
}
