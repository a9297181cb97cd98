import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { agentPaths, type Paths } from "../../agent/config.ts";
import type { KillLadder } from "../../agent/system/process/kill-ladder.ts";
import { ownUser } from "../../agent/system/process/user.ts";
import { backup, restore } from "../../agent/runs.ts";
import { type RunOutcome, type RunnerDeps, type RunnerInput } from "../../agent/run/deps.ts";
import { openSpool, type Spool } from "../../agent/state/spool.ts";
import { RestoreRequest } from "../../shared/assignment.ts";
import type { Assignment, AssignedBinding, AssignedRepository } from "../../shared/assignment.ts";
import type { DatabaseRequest, FilesContract } from "../../shared/contract.ts";
import { Settings, type SettingsInput } from "../../shared/binding.ts";
import { instant, uuidv7 } from "../../shared/ids.ts";
import type { Refusal, RunReport } from "../../shared/report.ts";
import { Maintenance } from "../../shared/repository.ts";
import type { Progress } from "../../shared/run.ts";
import { cheapenKey } from "../support/cheap-key.ts";
import type { FoundEngine } from "../support/engines.ts";

const OPEN = { level: "open" };

export function newId(): string {
  return uuidv7(Date.now(), randomBytes(10));
}

/** What a test may say of the one binding it works with; the rest is filled in. */
export interface Wanted {
  user?: string;
  sources?: string[];
  excludes?: string[];
  before?: string[];
  after?: string[];
  settings?: SettingsInput;
  location?: string;
  existing?: boolean;
  engineId?: string | null;
  passphrase?: AssignedRepository["passphrase"];
  secrets?: Assignment["repositories"][number]["secrets"];
  /** What a contract says beside its request. */
  contract?: Partial<Pick<FilesContract, "consistency" | "mountPoints" | "stopForRestore">>;
  repository?: Partial<AssignedRepository>;
  /** A database's contract in place of a files' one. */
  database?: Partial<DatabaseRequest>;
  restoreUser?: string;
}

export interface Work {
  assignment: Assignment;
  binding: AssignedBinding;
}

/**
 * One host in a temporary directory that any user may walk through, with a real engine and nothing else of the agent.
 */
export interface EngineHost {
  root: string;
  paths: Paths;
  deps: RunnerDeps;
  spool: Spool;
  /** What the agent's own log said. */
  lines: string[];
  progress: Progress[];
  work(wanted?: Wanted): Work;
  backup(work: Work, change?: Partial<RunnerInput>): Promise<RunOutcome>;
  restore(work: Work, request: Partial<RestoreRequest>): Promise<RunOutcome>;
  /** The newest report of a run, or of the newest run of that kind. */
  report(which: { runId: string } | { kind: string }): Promise<RunReport>;
  reports(): Promise<RunReport[]>;
  refusals(): Promise<Refusal[]>;
  hook(name: string, script: string): Promise<void>;
  /** Writes policy.json: an object over the level `open`, or a text as it is. */
  policy(policy: unknown): Promise<void>;
  write(path: string, text: string): Promise<string>;
  /** The engine by hand, on the work's repository, with its passphrase. */
  byHand(work: Work, ...args: string[]): string;
  /** The same, in tests of restic alone. */
  restic(work: Work, ...args: string[]): string;
  /** From now on the engine is killed soon after it was asked to end. */
  impatient(): void;
  close(): Promise<void>;
}

export async function openEngineHost(engine: FoundEngine): Promise<EngineHost> {
  useEngine(engine);
  const root = await mkdtemp(join(tmpdir(), "holdfast-engine-"));
  await chmod(root, 0o755);
  const paths = agentPaths(root);
  const spool = openSpool(paths);
  const [lines, progress]: [string[], Progress[]] = [[], []];
  const ids = { host: newId(), contract: newId(), repository: newId(), binding: newId() };
  const ladder: KillLadder = { interruptMs: 20_000, terminateMs: 5_000, to: "process" };
  const deps: RunnerDeps = {
    paths,
    spool,
    clock: Date,
    random: (bytes) => randomBytes(bytes),
    log: (line) => lines.push(line),
    onProgress: (_run, at) => progress.push(at),
    ladder,
    timeouts: { lockMs: 3_000, openMs: 8_000 },
  };
  await mkdir(paths.hooksDir, { recursive: true, mode: 0o755 });
  // What waits for root is tested in test/takeover/.
  await writeFile(paths.policyJson, JSON.stringify(OPEN), { mode: 0o644 });

  const reports = async (): Promise<RunReport[]> =>
    (await spool.list()).flatMap(({ report }) => (report.type === "run" ? [report] : []));

  let running = 0;
  const isCheap = new Set<string>();
  const host: EngineHost = {
    root,
    paths,
    spool,
    deps,
    lines,
    progress,
    reports,

    work(wanted = {}) {
      const binding: AssignedBinding = {
        id: ids.binding,
        name: "files-nas",
        contract: ids.contract,
        repository: ids.repository,
        paused: false,
        // At the priority of everything else: a busy machine would make the tests wait for what is not shown here.
        settings: Settings.parse({ retention: {}, performance: { niceness: 0 }, ...wanted.settings }),
      };
      const request = {
        user: wanted.user ?? ownUser().name,
        sourceDirectories: wanted.sources ?? [join(root, "data")],
        excludePatterns: wanted.excludes ?? [],
        hooks: { beforeBackup: wanted.before ?? [], afterBackup: wanted.after ?? [] },
      };
      const assignment: Assignment = {
        protocol: 1,
        host: ids.host,
        revision: 1,
        issuedAt: instant(Date.now()),
        contracts: [
          wanted.database === undefined
            ? {
                id: ids.contract,
                name: "files",
                kind: "files",
                declared: false,
                request,
                consistency: [],
                mountPoints: [],
                stopForRestore: [],
                ...wanted.contract,
              }
            : {
                id: ids.contract,
                name: "database",
                kind: "databasebackup",
                declared: false,
                request: { user: request.user, backupName: "dump", backupCmd: "", restoreCmd: "", ...wanted.database },
                restoreUser: wanted.restoreUser ?? null,
              },
        ],
        repositories: [
          {
            id: ids.repository,
            name: "nas",
            provider: engine.provider,
            location: wanted.location ?? join(root, "srv/repository"),
            passphrase: wanted.passphrase ?? { generate: true },
            secrets: wanted.secrets ?? {},
            ssh: { identityFile: null, hostKey: null },
            caFile: null,
            appendOnly: false,
            maintenance: Maintenance.parse({}),
            maintains: true,
            existing: wanted.existing ?? false,
            engineId: wanted.engineId ?? null,
            ...wanted.repository,
          },
        ],
        bindings: [binding],
      };
      return { assignment, binding };
    },

    async backup(work, change = {}) {
      const { assignment, binding } = work;
      running++;
      const outcome = await backup(deps, {
        assignment,
        binding,
        runId: newId(),
        trigger: "manual",
        scheduledAt: null,
        signal: new AbortController().signal,
        ...change,
      });
      running--;
      if (running === 0 && outcome.state === "succeeded") await cheapen(host, work, isCheap);
      return outcome;
    },

    restore: ({ assignment, binding }, request) =>
      restore(deps, {
        assignment,
        binding,
        runId: newId(),
        trigger: "manual",
        scheduledAt: null,
        signal: new AbortController().signal,
        restore: RestoreRequest.parse({ snapshot: "latest", ...request }),
      }),

    async report(which) {
      const found = (await reports()).findLast(({ run }) =>
        "runId" in which ? run.id === which.runId : run.kind === which.kind,
      );
      if (found === undefined) throw new Error(`no report of ${JSON.stringify(which)}`);
      return found;
    },

    refusals: async () => (await spool.list()).flatMap(({ report }) => (report.type === "refusal" ? [report] : [])),

    async hook(name, script) {
      const path = join(paths.hooksDir, name);
      await writeFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      await chmod(path, 0o755);
    },

    async policy(policy) {
      const text = typeof policy === "string" ? policy : JSON.stringify({ ...OPEN, ...Object(policy) });
      await writeFile(paths.policyJson, text, { mode: 0o644 });
    },

    async write(path, text) {
      const file = join(root, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
      return file;
    },

    byHand: (work, ...args) => callByHand(host, { engine, work, args }),
    restic: (work, ...args) => callByHand(host, { engine, work, args }),

    impatient: () => Object.assign(ladder, { interruptMs: 300, terminateMs: 300 }),
    close: () => rm(root, { recursive: true, force: true }),
  };
  return host;
}

/** Opening what a test's first backup made costs next to nothing from then on. */
async function cheapen({ paths }: EngineHost, { assignment }: Work, done: Set<string>): Promise<void> {
  const [repository] = assignment.repositories;
  if (repository?.provider !== "restic" || !repository.location.startsWith("/") || done.has(repository.location))
    return;
  done.add(repository.location);
  if ("sealed" in repository.passphrase) return;
  const secret = passphraseFile(paths, repository);
  await cheapenKey(repository.location, (await readFile(secret, "utf8")).trim());
}

/** From now on the agent finds this one. */
export function useEngine({ provider, path }: Pick<FoundEngine, "provider" | "path">): void {
  process.env[provider === "restic" ? "HOLDFAST_RESTIC" : "HOLDFAST_BORG"] = path;
}

interface ByHand {
  readonly engine: FoundEngine;
  readonly work: Work;
  readonly args: readonly string[];
}

/** The tool's environment for a person at the host, on the work's repository. */
export function handEnvironment({ root, paths }: EngineHost, work: Work): Record<string, string> {
  const [repository] = work.assignment.repositories;
  if (repository === undefined) throw new Error("no repository");
  const secret = passphraseFile(paths, repository);
  const plain = { PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8", TZ: "UTC" };
  const cache = join(root, "hand-cache");
  return repository.provider === "restic"
    ? { ...plain, RESTIC_REPOSITORY: repository.location, RESTIC_PASSWORD_FILE: secret, RESTIC_CACHE_DIR: cache }
    : {
        ...plain,
        BORG_REPO: repository.location,
        BORG_PASSCOMMAND: `cat ${secret}`,
        BORG_BASE_DIR: cache,
        BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "yes",
      };
}

function passphraseFile(paths: Paths, { id, passphrase }: AssignedRepository): string {
  return "file" in passphrase ? passphrase.file : join(paths.secretsDir, id);
}

function callByHand(host: EngineHost, { engine, work, args }: ByHand): string {
  const env = handEnvironment(host, work);
  return execFileSync(engine.path, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], env });
}
/** What a file of the test holds, "" when it is not there. */
export async function textOf(path: string): Promise<string> {
  return await readFile(path, "utf8").catch(() => "");
}
