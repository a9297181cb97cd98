import { rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { EnrollmentCreated } from "../../shared/host.ts";
import { page, TokenCreated } from "../../shared/api.ts";
import { Proposal } from "../../shared/catalog.ts";
import { ChannelCreated } from "../../shared/channel.ts";
import { Run } from "../../shared/run.ts";
import { openDatabase } from "../../control/runtime/node/database.ts";
import { declare, declareRepository } from "../control/declared.ts";
import { refusalOf, reportOf, runIdAt, snapshotAt } from "../control/reported.ts";
import { controlOn, FACTS, newHostKey, type TestControl, type TestHost } from "../support/control.ts";
import { record, type Traffic } from "./recorded.ts";
import { scratchDirectory } from "./scratch.ts";

/** A control plane with something of everything in it, and the traffic that put it there. */
export interface Scene {
  readonly control: TestControl;
  readonly host: TestHost;
  /** Another host, with runs and snapshots of its own. */
  readonly neighbour: TestHost;
  /** What everything hangs on: the host's id and the tokens'. */
  readonly pillars: readonly string[];
  readonly tokens: { readonly read: string; readonly operate: string; readonly admin: string };
  readonly traffic: Traffic;
  /** What was logged as an error: requests that the control plane failed at. */
  readonly errors: string[];
  end(): Promise<void>;
}

export async function openScene(): Promise<Scene> {
  const directory = await scratchDirectory();
  const db = openDatabase(`file:${join(directory, "control.db")}`);
  const errors: string[] = [];
  const onError = (message: string, facts: unknown): void => {
    // Nobody listens where these channels send to.
    if (message !== "notification delivery failed") errors.push(`${message} ${JSON.stringify(facts)}`);
  };
  const control = await controlOn(db, { onError });
  const traffic = record(control.app);
  const host = await control.enrol("one");
  const neighbour = await control.enrol("other");
  const tokens = await makeTokens(control);
  for (const each of [neighbour, host]) await populate(control, each);
  await lookAtAll(control, host);
  // A query's, which are called otherwise.
  traffic.seen.set("expression", traffic.seen.get("OnCalendar") ?? []);
  return {
    control,
    host,
    neighbour,
    tokens,
    traffic,
    errors,
    pillars: [host.id, ...(traffic.ids.get("tokens") ?? [])],
    async end() {
      db.$client.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function makeTokens({ admin }: TestControl): Promise<Scene["tokens"]> {
  const make = async (scope: string): Promise<string> =>
    (
      await admin.ask(TokenCreated, "POST", "/api/v1/tokens", {
        name: `fuzz-${scope}`,
        scope,
        expiresInSeconds: 86_400,
      })
    ).token;
  return { read: await make("read"), operate: await make("operate"), admin: await make("admin") };
}

async function populate(control: TestControl, host: TestHost): Promise<void> {
  const { admin } = control;
  const { name } = host;
  const ask = (method: string, path: string, body?: unknown): Promise<unknown> =>
    admin.ask(z.unknown(), method, path, body);
  const said = (method: string, path: string, body: unknown): Promise<unknown> =>
    host.ask(z.unknown(), method, `/agent/v1/${path}`, body);
  await said("PUT", "facts", {
    ...FACTS,
    engines: [{ provider: "restic", version: "0.18.1", path: "/usr/bin/restic", fault: null }],
  });
  const { contract, repository, binding } = await declare(control, host, `photos-${name}`);
  const second = await declareRepository(admin, `far-${name}`, `sftp:me@nas:/srv/${name}`);
  await ask("PATCH", `/api/v1/repositories/${second.id}`, { name: `farther-${name}` });
  await ask("PATCH", `/api/v1/contracts/${contract.id}`, {
    request: {
      ...contract.request,
      excludePatterns: ["*.tmp", "/srv/**/cache"],
      hooks: { beforeBackup: ["stop"], afterBackup: ["start"] },
    },
    consistency: [{ sqlite: "/srv/db.sqlite3" }, { postgres: "*", port: 5432 }, { stop: "web.service" }],
  });
  await ask("POST", "/api/v1/contracts", {
    host: name,
    name: `db-${name}`,
    kind: "databasebackup",
    request: { backupName: "dump.sql", backupCmd: "pg_dump x", restoreCmd: "psql x" },
  });
  await ask("POST", "/api/v1/contracts", {
    host: host.id,
    name: `vault-${name}`,
    fromCatalog: "vaultwarden",
    layout: "docker",
    params: { data: "/srv/vault/" },
  });
  await ask("PATCH", `/api/v1/bindings/${binding.id}`, {
    settings: {
      timerConfig: {
        OnCalendar: ["Mon..Fri *-*-* 02,14:30:00 Europe/Berlin", "0 3 * * 0"],
        RandomizedDelaySec: "1h 5min",
        Persistent: false,
      },
      retention: { keep_within: "1y2m3d", keep_daily: 7 },
      limitUploadKiBs: 100,
    },
  });
  for (const [kind, more] of Object.entries(CHANNELS)) {
    const { id } = await admin.ask(ChannelCreated, "POST", "/api/v1/channels", {
      name: `${kind}-${name}`,
      kind,
      ...more,
    });
    await ask("PATCH", `/api/v1/channels/${id}`, {
      quietHours: { from: "22:00", to: "07:00", zone: "Europe/Berlin" },
      hosts: [host.id],
    });
    await ask("POST", `/api/v1/channels/${id}/test`);
  }
  await report(control, host, binding.id);
  const queued = await admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
  await ask("POST", `/api/v1/bindings/${binding.id}/forget`, { dryRun: true });
  await ask("POST", `/api/v1/bindings/${binding.id}/check`);
  await ask("POST", `/api/v1/repositories/${repository.id}/prune`);
  await ask("POST", `/api/v1/runs/${queued.id}/cancel`);
  await ask("POST", "/api/v1/restores", {
    binding: binding.id,
    snapshot: "latest",
    target: "/srv/restored",
    include: ["/srv/a"],
  });
  await ask("POST", `/api/v1/bindings/${binding.id}/pause`);
  await ask("POST", `/api/v1/bindings/${binding.id}/resume`);
  await said("PUT", "detections", { detections: [detection] });
  const { items } = await admin.ask(page(Proposal), "GET", `/api/v1/proposals?host=${host.id}`);
  await ask("POST", `/api/v1/proposals/${items[0]?.id}/accept`, { name: `films-${name}`, params: {} });
  await said("PUT", "declarations", {
    declarations: [declaration(name)],
    faults: [{ file: "bad.json", message: "is not JSON" }],
  });
  await enrolAgain(control, name);
}

const CHANNELS = {
  webhook: { url: "http://127.0.0.1:9/hook" },
  ntfy: { topic: "backups", events: ["run.failed", "backup.late"] },
  telegram: { token: "1:a", chat: "@me", labels: ["home"] },
  email: { server: "mail.example", from: "a@example.org", to: ["b@example.org"] },
};

const detection = {
  entry: "radarr",
  layout: "docker",
  container: "films",
  params: { data: "/srv/films" },
  evidence: ["container films of image radarr"],
};

function declaration(name: string): object {
  return {
    kind: "files",
    file: "notes.json",
    name: `notes-${name}`,
    consistency: [],
    mountPoints: [],
    stopForRestore: [],
    request: {
      user: "root",
      sourceDirectories: ["/srv/notes"],
      excludePatterns: [],
      hooks: { beforeBackup: [], afterBackup: [] },
    },
    bound: {
      repository: {
        name: `notes-${name}`,
        provider: "borg",
        location: `/backup/notes-${name}`,
        passphrase: { file: "/etc/passphrase" },
      },
      settings: {},
    },
  };
}

/** A good run, a bad one, one that goes on, and something that was refused. */
async function report({ deps }: TestControl, host: TestHost, binding: string): Promise<void> {
  const at = (minutes: number): string => runIdAt(new Date(deps.clock.now() - minutes * 60_000).toISOString());
  const made = host.name === "one" ? "a".repeat(64) : "b".repeat(64);
  const listed = [snapshotAt(made, "2026-11-23T07:00:00.000Z")];
  const reports = [
    reportOf({ id: at(9), binding, state: "succeeded", made, listed, engineId: made, log: "stored\n" }),
    reportOf({ id: at(6), binding, state: "failed", failure: "repository.unreachable" }),
    reportOf({
      id: at(4),
      binding,
      state: "failed",
      kind: "check",
      failure: "repository.damaged",
      suspicious: "shrunk",
    }),
    reportOf({ id: at(3), binding, state: "running", sequence: 2 }),
    refusalOf(at(1)),
  ];
  await host.ask(z.unknown(), "POST", "/agent/v1/reports", { reports });
}

async function enrolAgain({ admin, app }: TestControl, name: string): Promise<void> {
  const { token } = await admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", {
    name: `new-${name}`,
    uses: 1000,
    expiresInSeconds: 3600,
  });
  const body = JSON.stringify({ token, publicKey: (await newHostKey()).publicKey, facts: FACTS });
  const answer = await app.request("/agent/v1/enroll", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  if (!answer.ok) throw new Error(`enrolling: ${answer.status} ${await answer.text()}`);
}

/** Every list, and one of each: by what they answer, the fuzzer knows the ids. */
async function lookAtAll({ app, admin }: TestControl, host: TestHost): Promise<void> {
  const lists = app.routes.filter(({ method, path }) => method === "GET" && /^\/api\/v1\/[a-z]+$/.test(path));
  for (const path of new Set(lists.map((route) => route.path))) await admin.send("GET", path);
  for (const path of ["assignment", "orders", "probes"]) await host.send("GET", `/agent/v1/${path}`);
}
