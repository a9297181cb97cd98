import { randomBytes } from "node:crypto";
import { watch } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openApi } from "../../agent/link/api.ts";
import { agentPaths } from "../../agent/config.ts";
import { enroll } from "../../agent/cli/enroll.ts";
import { loadIdentity } from "../../agent/link/identity.ts";
import { serve } from "../../agent/daemon/serve.ts";
import { openSpool } from "../../agent/state/spool.ts";
import type { Timers } from "../../agent/system/timers.ts";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { EnrollmentCreated, Host } from "../../shared/host.ts";
import { Repository } from "../../shared/repository.ts";
import { isOver, Run } from "../../shared/run.ts";
import { cheapenKey } from "../support/cheap-key.ts";
import { openClient } from "../support/client.ts";
import { startNodeControl } from "../support/node-control.ts";
import { until } from "../support/until.ts";
import { layWire, type Wire } from "../support/wire.ts";
import { PASSPHRASE, pathsOf, realSnapshots } from "./real-repository.ts";

/**
 * A whole agent and a whole control plane in this process, with a wire between them, and a binding that restic backs
 * up.
 */
export interface WiredHost {
  readonly wire: Wire;
  /** Ids of the runs whose file was seen in the spool. */
  readonly seen: ReadonlySet<string>;
  /** All backups that the control plane knows, newest first. */
  runs(): Promise<Run[]>;
  isOnline(): Promise<boolean>;
  /** How many reports of runs that are over wait on the host. */
  undelivered(): Promise<number>;
  /** Whether a run is under way. */
  isBusy(): Promise<boolean>;
  /** What the repository holds, by restic's own word. */
  snapshots(): Promise<string[]>;
  said(): string;
  /** Makes the repository cheap to open, once it is there. */
  cheapen(): Promise<void>;
  end(): Promise<void>;
}

/**
 * @param agent what it goes by, and its schedule; the control plane has the same clock, if not one of its own. Returns
 * once it is online
 */
export async function openWiredHost(agent: {
  clock: { now(): number };
  timers: Timers;
  calendar: string;
  retention?: Record<string, unknown>;
  controlClock?: { now(): number };
}): Promise<WiredHost> {
  const root = await mkdtemp(join(tmpdir(), "holdfast-wire-"));
  const control = await startNodeControl({}, agent.controlClock ?? agent.clock);
  const wire = await layWire(Number(new URL(control.url).port));
  const admin = openClient(control.url, () => control.adminToken);
  const paths = agentPaths(root);
  const lines: string[] = [];
  const { clock, timers } = agent;
  const random = (bytes: number): Uint8Array => randomBytes(bytes);
  const deps = { paths, clock, random, log: (line: string): void => void lines.push(line) };
  await mkdir(paths.spoolDir, { recursive: true, mode: 0o700 });
  // The retention alone decides what goes: the floor would keep days of it.
  await mkdir(paths.etc, { recursive: true, mode: 0o755 });
  await writeFile(paths.policyJson, JSON.stringify({ level: "open", keep: { snapshots: 1, days: 0 } }));
  const { source, repository: location } = pathsOf(root, "restic");
  await mkdir(source);
  await writeFile(join(source, "letter"), "dear reader");
  await writeFile(join(root, "passphrase"), `${PASSPHRASE}\n`, { mode: 0o600 });
  const seen = new Set<string>();
  const watcher = watch(paths.spoolDir, (_event, name) => {
    const id = /^([0-9a-f-]{36})\.json$/.exec(name ?? "")?.[1];
    if (id !== undefined) seen.add(id);
  });
  const stop = new AbortController();
  let served: Promise<void> = Promise.resolve();
  const host: WiredHost = {
    wire,
    seen,
    runs: async () => (await admin.ask(page(Run), "GET", "/api/v1/runs?kind=backup&limit=500")).items,
    isOnline: async () => (await admin.ask(page(Host), "GET", "/api/v1/hosts")).items[0]?.online ?? false,
    isBusy: async () =>
      (await openSpool(paths).list()).some(({ report }) => report.type === "run" && !isOver(report.run.state)),
    undelivered: async () =>
      (await openSpool(paths).list()).filter(({ report }) => report.type === "run" && isOver(report.run.state)).length,
    snapshots: () => realSnapshots(root, "restic"),
    said: () => lines.join("\n"),
    cheapen: () => cheapenKey(location, PASSPHRASE),
    async end() {
      stop.abort();
      wire.become({ is: "clear" });
      await served;
      watcher.close();
      await control.stop();
      await wire.end();
      // What was under way when the agent was told to stop may still make a directory.
      await rm(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    },
  };
  try {
    const { token } = await admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name: "nas" });
    const { config } = await enroll(deps, { url: wire.url, token });
    const identity = await loadIdentity(paths);
    if (identity === null) throw new Error("the host has no key");
    const request = { user: "root", sourceDirectories: [source] };
    const contract = await admin.ask(Contract, "POST", "/api/v1/contracts", { host: "nas", name: "letters", request });
    const passphrase = { file: join(root, "passphrase") };
    const wanted = { name: "disk", provider: "restic", location, passphrase };
    const repository = await admin.ask(Repository, "POST", "/api/v1/repositories", wanted);
    const timerConfig = { OnCalendar: agent.calendar, RandomizedDelaySec: "0" };
    await admin.ask(Binding, "POST", "/api/v1/bindings", {
      contract: contract.id,
      repository: repository.id,
      settings: { timerConfig, retention: agent.retention ?? {}, zone: "UTC", performance: { niceness: 0 } },
    });
    const machine = { unitDirectories: [], sockets: [] };
    const api = openApi({ config, identity, clock, random });
    served = serve({ ...deps, searchPaths: machine, timers }, { config, api }, stop.signal);
    await until(`the host to be online; the agent said:\n${host.said()}`, () => host.isOnline());
    return host;
  } catch (error) {
    await host.end();
    throw error;
  }
}
