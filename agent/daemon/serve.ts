import { mkdir } from "node:fs/promises";
import type { Assignment } from "../../shared/assignment.ts";
import { messageOf } from "../../shared/error-message.ts";
import type { HostFacts, HostTrouble } from "../../shared/host.ts";
import { uuidv7, type Id } from "../../shared/ids.ts";
import { ApiError } from "../link/api.ts";
import type { Api } from "../link/api.ts";
import { loadAssignment, acceptAssignment } from "../link/assignments.ts";
import { watchGrants } from "../in-force/grant-watch.ts";
import { putInForce } from "../in-force/in-force.ts";
import { decideOrder } from "../in-force/orders.ts";
import type { AgentConfig, Paths } from "../config.ts";
import { keepConnected } from "../link/connection.ts";
import type { Connection } from "../link/connection.ts";
import { writeDaemonState } from "./claim.ts";
import { startDeclarationSync } from "../declared/declaration-sync.ts";
import type { SearchPaths } from "../detect/search-paths.ts";
import { startDetector } from "../detect/detector.ts";
import { dispatchDue, dispatchOrder } from "./dispatch.ts";
import type { DispatchDeps } from "./dispatch.ts";
import { startRelay } from "../link/relay.ts";
import { startEscrows } from "../link/escrows.ts";
import { collectFacts } from "./facts.ts";
import { watchFacts } from "./facts-watch.ts";
import { hostZone } from "../system/zone.ts";
import { acknowledgeOrders, removeExpiredOrders, acceptOrders } from "../link/orders.ts";
import type { OrderDeps } from "../link/orders.ts";
import { pinNextKey } from "../link/control-keys.ts";
import { policyTroubles } from "../policy/policy.ts";
import { startPuller } from "../link/puller.ts";
import { createRefuse } from "../link/refusals.ts";
import { deliverReports, startReporter } from "../link/reporter.ts";
import { openResultFiles } from "./scripts.ts";
import { removeOldAsides } from "../restore/aside-record.ts";
import { recoverInterrupted } from "../recover.ts";
import type { RunnerDeps } from "../run/deps.ts";
import { untilPingsSent } from "../run/pings.ts";
import { startScheduler } from "./scheduler.ts";
import { openSpool } from "../state/spool.ts";
import { isUser } from "../system/process/find-user.ts";
import type { Timers } from "../system/timers.ts";
import { findTroubles, watchTroubles } from "../state/troubles.ts";
import { VERSION } from "../version.ts";
import { openQueue } from "./queue.ts";
import { openBackupUnits } from "./units/backup-units.ts";

export interface ServeDeps {
  paths: Paths;
  /** Where services of the catalogue are looked for. */
  searchPaths: SearchPaths;
  clock: { now(): number };
  /** Milliseconds since boot, suspended time included. */
  uptime?: () => number;
  timers: Timers;
  random: (bytes: number) => Uint8Array;
  log: (line: string) => void;
}

const RUNS_AT_ONCE = 2;
const RECOVER_EVERY_MS = 60_000;
const LAST_REPORTS_WITHIN_MS = 10_000;

/** Wires up everything the daemon does, until `stop` is aborted. Then cancels running jobs and reports them. */
export async function serve(
  deps: ServeDeps,
  host: { config: AgentConfig; api: Api },
  stop: AbortSignal,
): Promise<void> {
  const { paths, clock, timers, log } = deps;
  const { config, api } = host;
  const randomFraction = (): number => new DataView(deps.random(4).slice().buffer).getUint32(0) / 2 ** 32;
  await mkdir(paths.spoolDir, { recursive: true, mode: 0o700 });
  const spool = openSpool(paths);
  const refuse = createRefuse({ ...deps, spool });
  const controlClock = { now: () => clock.now() + api.clockOffset() };
  // As signed, and as far as this host has granted it: everything but the comparison of revisions uses the latter.
  let signed = await loadAssignment({ ...deps, config });
  let assignment = await putInForce({ ...deps, config }, signed);
  let connection: Connection | null = null;
  const results = openResultFiles(deps);
  await results.sync(assignment);

  const runner: RunnerDeps = {
    ...deps,
    spool,
    clockOffset: api.clockOffset,
    onProgress: (run, progress) => connection?.sendProgress(run, progress),
  };
  /** After a new assignment, or when root granted something. One at a time, the newest last. */
  let deciding = Promise.resolve();
  const decideAgain = (): Promise<void> => {
    deciding = deciding.then(async () => {
      assignment = await putInForce({ ...deps, config }, signed);
      await scheduler.wake();
      await results.sync(assignment);
    });
    return deciding;
  };
  const queue = openQueue(RUNS_AT_ONCE);
  log(`Holdfast agent ${VERSION}, host ${config.name} of ${config.url}`);
  const interruptedRuns = watchInterruptedRuns(deps, runner, () => assignment);
  const dispatch: DispatchDeps = {
    runner,
    queue,
    inUnit: await openBackupUnits(deps),
    interruptedRunsEnded: interruptedRuns.first,
    // By the control plane's clock: it sorts the runs of all hosts by their ids.
    newId: () => uuidv7(controlClock.now(), deps.random(10)),
    assignment: () => assignment,
    signed: () => signed,
  };

  const orders: OrderDeps = {
    paths,
    config,
    clock: controlClock,
    refuse,
    isGranted: (order) => decideOrder(deps, order, assignment),
    isKnown: async (run) =>
      queue.has(run) || (await spool.list()).some(({ report }) => report.type === "run" && report.run.id === run),
  };
  const escrows = startEscrows({ ...deps, api, assignment: () => assignment });
  const onAccepted = async (ids: readonly Id[]): Promise<void> => {
    await acknowledgeOrders(orders, ids);
    // A repository's first backup makes its passphrase.
    void escrows.run();
  };
  const reporter = startReporter({ spool, api, timers, log, random: randomFraction, onAccepted });
  const stopListening = spool.onChange(reporter.wake);
  const scheduler = startScheduler({
    ...deps,
    zone: hostZone(),
    assignment: () => assignment,
    onDue: (due) => dispatchDue(dispatch, due),
  });
  const listTroubles = async (): Promise<HostTrouble[]> => [
    ...(await policyTroubles(paths)),
    ...(await findTroubles(paths, spool)),
  ];
  for (const { message } of await policyTroubles(paths)) log(message);
  const sendFacts = factsSender(api, () => collectFacts(deps, listTroubles));
  const declarations = startDeclarationSync({
    paths,
    timers,
    log,
    config,
    api,
    deliver: () => deliverReports({ spool, api, log, onAccepted }),
    onChange: () => puller.pull(),
  });
  const relay = startRelay({ paths, config, api, timers, log, clock: controlClock });
  const puller = startPuller({
    api,
    timers,
    log,
    random: randomFraction,
    isOnline: () => connection?.isOnline() ?? false,
    // While a next key is pinned, each assignment is fetched: the first that it signs makes it the present one.
    revision: () => (config.nextControlKey === undefined ? (signed?.revision ?? null) : null),
    sendFacts: async () => {
      await sendFacts();
      // What was declared comes back as an assignment.
      if (await declarations.publish()) puller.pull();
    },
    onAssignment: async (jws) => {
      const before = signed;
      signed = await acceptAssignment({ ...deps, config, refuse }, { jws, current: before });
      if (signed !== before) await decideAgain();
      return assignment;
    },
    onNextKey: (jws) => pinNextKey({ ...deps, config, refuse }, jws),
    onOrders: async (signed) => {
      await removeExpiredOrders(orders);
      return await acceptOrders(orders, signed);
    },
    onOrder: (order) => dispatchOrder(dispatch, order),
    onPulled: () => {
      void relay.run();
      void escrows.run();
    },
  });
  const stopWatchingGrants = watchGrants({
    paths,
    timers,
    onChange: () => {
      log("the policy or the grants of this host have changed");
      void decideAgain()
        .catch((error: unknown) => log(`what is in force could not be decided again: ${messageOf(error)}`))
        .then(() => puller.pull());
    },
  });
  const stopWatching = watchTroubles({ timers, find: listTroubles }, () => puller.pull());
  const detector = startDetector({ ...deps, config, api, clock: controlClock, random: randomFraction });
  const stopWatchingFacts = watchFacts({ ...deps, onFacts: () => puller.pull(), onServices: detector.detect });
  const saveState = daemonStateWriter(deps, api);
  await saveState(false);
  connection = keepConnected({
    timers,
    log,
    random: randomFraction,
    agentVersion: VERSION,
    target: () => api.socket(),
    isRevoked: () => isRevoked(api),
    onOnline: () => {
      log("connected");
      declarations.reset();
      escrows.reset();
      puller.pull();
      reporter.wake();
      void saveState(true);
    },
    onOffline: () => void saveState(false),
    onPoke: () => puller.pull(),
    onAsk: isUser,
  });

  await new Promise<void>((resolve) => {
    if (stop.aborted) resolve();
    else stop.addEventListener("abort", () => resolve(), { once: true });
  });
  log("stopping: cancelling running jobs and reporting them");
  scheduler.stop();
  puller.stop();
  declarations.stop();
  relay.stop();
  escrows.stop();
  detector.stop();
  stopWatchingFacts();
  stopWatching();
  stopWatchingGrants();
  interruptedRuns.stop();
  await queue.drain();
  stopListening();
  await Promise.race([
    Promise.all([reporter.stop(), untilPingsSent()]),
    new Promise<void>((resolve) => timers.after(LAST_REPORTS_WITHIN_MS, resolve)),
  ]);
  connection.stop();
  // After pending writes: nothing is written once this function has returned.
  await saveState(false);
  log("stopped");
}

/**
 * Recovers runs whose process died (this agent's own before a crash, or the CLI's), and removes what restores left or
 * kept long enough: now, and every minute.
 */
function watchInterruptedRuns(
  deps: ServeDeps,
  runner: RunnerDeps,
  assignment: () => Assignment | null,
): { first: Promise<void>; stop: () => void } {
  let cancelTimer = (): void => {};
  let isStopped = false;
  const recover = async (): Promise<void> => {
    try {
      await recoverInterrupted(runner, assignment());
    } catch (error) {
      deps.log(`interrupted runs could not be recovered: ${messageOf(error)}`);
    }
    await removeOldAsides(deps);
    if (!isStopped) cancelTimer = deps.timers.after(RECOVER_EVERY_MS, () => void recover());
  };
  return {
    first: recover(),
    stop() {
      isStopped = true;
      cancelTimer();
    },
  };
}

/** Sends the facts when they have changed since they were last sent. */
function factsSender(api: Api, collect: () => Promise<HostFacts>): () => Promise<void> {
  let sent = "";
  return async () => {
    const facts = await collect();
    const text = JSON.stringify(facts);
    if (text === sent) return;
    await api.putFacts(facts);
    sent = text;
  };
}

/** Writes daemon.json, one write at a time and in order. */
function daemonStateWriter(deps: ServeDeps, api: Api): (isOnline: boolean) => Promise<void> {
  let writing = Promise.resolve();
  return (isOnline) => {
    const state = { isOnline, now: deps.clock.now(), clockOffsetMs: Math.round(api.clockOffset()) };
    writing = writing
      .then(() => writeDaemonState(deps.paths, state))
      .catch((error: unknown) => deps.log(`${deps.paths.daemonFile} can't be written: ${String(error)}`));
    return writing;
  };
}

async function isRevoked(api: Api): Promise<boolean> {
  try {
    await api.getOrders();
    return false;
  } catch (error) {
    return error instanceof ApiError && error.kind === "revoked";
  }
}
