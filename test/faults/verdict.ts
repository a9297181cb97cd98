import { access, readdir } from "node:fs/promises";
import { isGood, isOver, type Run } from "../../shared/run.ts";
import { until } from "../support/until.ts";
import { doubled, type Found, lied, lost, sum } from "./fault.ts";
import { type KillableHost, type Service, tracesOf } from "./killable-host.ts";
import type { Moment } from "./moments.ts";
import { locksOf, processesOf, realSnapshots, storedText } from "./real-repository.ts";

interface Round {
  /** What there was before it. */
  readonly before: { readonly traces: number; readonly snapshots: ReadonlySet<string> };
  readonly isNew: (run: string) => boolean;
  /** The run after the kill, and what the letter said then. */
  readonly next: Run;
  readonly text: string;
  readonly moment: Pick<Moment, "mayRepeatAfter" | "isScheduled">;
}

/** Compares what the control plane was told with what the hooks, the repository and /proc say. The host is quiet. */
export async function verdictOf(host: KillableHost, service: Service, round: Round): Promise<Found> {
  const { isNew } = round;
  const runs = (await host.runs(service)).filter(({ id }) => isNew(id));
  const traces = (await tracesOf(service)).slice(round.before.traces);
  const begun = new Set([...[...host.seen].filter(isNew), ...traces.map(({ run }) => run)]);
  const real = await realSnapshots(host.root, service.provider);
  const added = real.filter((id) => !round.before.snapshots.has(id));
  const next = runs.find(({ id }) => id === round.next.id);
  return sum([
    ...[...begun].flatMap((id) =>
      runs.some((run) => run.id === id) ? [] : [lost(`run ${id} began and was never reported`)],
    ),
    ...runs.flatMap((run) => ofRun(run, real)),
    ...(round.moment.isScheduled ? ofSchedule(runs) : []),
    ...added.flatMap((id) => ofSnapshot(id, runs)),
    ...ofHooks(traces, round),
    ...(await ofNext(host, service, { next, text: round.text })),
    ...(await ofHost(host, service)),
  ]);
}

function ofRun(run: Run, real: readonly string[]): Found[] {
  const what = `${run.kind} ${run.id} is ${run.state}${run.failure === null ? "" : ` (${run.failure.message})`}`;
  if (!isOver(run.state)) return [lied(`${what} although the host is quiet`)];
  if (run.state !== "interrupted" && !isGood(run.state)) return [lied(`${what}, and nothing but the kill went wrong`)];
  if (run.kind !== "backup") return [];
  if (isGood(run.state) && run.snapshot === null) return [lied(`${what} without a snapshot`)];
  if (run.snapshot !== null && !real.includes(run.snapshot)) return [lied(`${what} with a snapshot that is not there`)];
  return [];
}

/** Begun at its time, or caught up; once more at most, where the first was interrupted. */
function ofSchedule(runs: readonly Run[]): Found[] {
  const due = runs.filter(({ scheduledAt, kind }) => scheduledAt !== null && kind === "backup");
  if (due.length === 0) return [lost("the time passed without a run")];
  const good = due.filter(({ state }) => isGood(state)).length;
  if (due.length > 2 || good > 1) return [doubled(`one time had ${due.length} runs, ${good} of them good`)];
  return [];
}

function ofSnapshot(id: string, runs: readonly Run[]): Found[] {
  const claims = runs.filter(({ snapshot }) => snapshot === id).length;
  if (claims === 0) return [lied(`no run says that it stored snapshot ${id}`)];
  return claims > 1 ? [doubled(`${claims} runs say that they stored snapshot ${id}`)] : [];
}

function ofHooks(traces: readonly { phase: string; run: string }[], { moment }: Round): Found[] {
  const count = (phase: string, of: string): number =>
    traces.filter((trace) => trace.phase === phase && trace.run === of).length;
  return [...new Set(traces.map(({ run }) => run))].flatMap((run) => {
    const [before, after] = [count("before", run), count("after", run)];
    return [
      ...(before > 1 ? [doubled(`run ${run} was done ${before} times`)] : []),
      ...(after === 0 ? [lost(`run ${run} stopped its service and never started it`)] : []),
      ...(after > 1 && !moment.mayRepeatAfter ? [doubled(`run ${run} started its service ${after} times`)] : []),
    ];
  });
}

async function ofNext(
  { root }: KillableHost,
  { provider }: Service,
  { next, text }: { next: Run | undefined; text: string },
): Promise<Found[]> {
  if (next === undefined) return [lost("the next run is nowhere")];
  if (next.state !== "succeeded" || next.snapshot === null) return [lied(`the next run is ${next.state}`)];
  const stored = await storedText(root, { provider, snapshot: next.snapshot, name: "letter" });
  return stored === text ? [] : [lied(`the next run's snapshot holds "${stored}" in place of "${text}"`)];
}

/** What the dead agent left: a stopped service, an engine, a lock, a file half written. */
async function ofHost({ root, paths, agent }: KillableHost, { provider, stopped }: Service): Promise<Found[]> {
  const found: Found[] = [];
  if (await isThere(stopped)) found.push(lied("the service is still stopped"));
  const processes = await settled(() => processesOf(root, agent.pid()));
  const locks = await settled(() => locksOf(root, provider));
  const drafts = (await readdir(paths.state, { recursive: true })).filter((name) => name.endsWith(".tmp"));
  for (const left of processes) found.push(lied(`a process is left behind: ${left}`));
  for (const lock of locks) found.push(lied(`a lock is left behind: ${lock}`));
  for (const draft of drafts) found.push(lied(`a draft is left behind: ${draft}`));
  return found;
}

/** @returns what is still there after a few seconds: the agent itself may look at its tools meanwhile */
async function settled(look: () => Promise<string[]>): Promise<string[]> {
  await until("nothing to be left", async () => (await look()).length === 0, 5).catch(() => undefined);
  return await look();
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
