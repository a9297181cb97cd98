import { execFile } from "node:child_process";
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentPaths, writeConfig, type AgentConfig, type Paths } from "../../agent/config.ts";
import { loadOrCreateIdentity } from "../../agent/link/identity.ts";
import { Assignment, JWS_TYPES } from "../../shared/assignment.ts";
import type { SettingsInput } from "../../shared/binding.ts";
import type * as z from "zod";
import type { DatabaseContract, FilesContract } from "../../shared/contract.ts";
import { instant } from "../../shared/ids.ts";
import type { ProviderName } from "../../shared/repository.ts";
import { resultOf } from "../../shared/result.ts";
import { configOf, makeSigner, newId, type Signer } from "../agent/signer.ts";
import { agentIn, type AgentProcess, type Outcome } from "../support/agent.ts";
import { buildPrograms } from "../support/built.ts";
import { cheapenKey } from "../support/cheap-key.ts";
import { until } from "../support/until.ts";

/** One binding of a host, as a test wants it; a contract or repository named again is the same one. */
export interface Bound {
  name: string;
  /** The name it had in an assignment before this one: it is the same binding. */
  formerly?: string;
  provider: ProviderName;
  /** A directory on the host, or anything else that is a location. */
  location: string;
  contract?: string;
  request: z.input<typeof FilesContract | typeof DatabaseContract>["request"];
  kind?: "files" | "databasebackup";
  consistency?: readonly object[];
  /** A file of contracts.d declares the contract, as the control plane knows. */
  isDeclared?: boolean;
  repository?: object;
  settings?: SettingsInput;
  paused?: boolean;
}

/**
 * A host that was given its assignment once, and whose control plane has been away ever since: what stands on it by
 * then is all that a person on the worst day has.
 */
export interface ContractHost {
  readonly root: string;
  readonly paths: Paths;
  readonly agent: AgentProcess;
  /**
   * Gives the host its assignment, and lets its daemon run until the results stand, but for so many that can't.
   * @returns what it said
   */
  assign(bindings: readonly Bound[], unable?: number): Promise<string>;
  /** `result.restoreScript` of a binding, with words after it. */
  script(binding: string, ...words: string[]): Promise<Outcome>;
  /** `systemctl start --wait` of `result.backupService`: what the unit runs, as it is written there. */
  start(binding: string, environment?: Record<string, string>): Promise<Outcome>;
  /** Makes a directory for a user below the host's root, and the ones above it for everybody. */
  directory(path: string, user?: { uid: number; gid: number }): Promise<string>;
  close(): Promise<void>;
}

/**
 * @param of `isPrivate`: the program lies in somebody's home, which nobody else may enter, and the root is 0700;
 *   `inside` goes before every command of a binding: what runs it somewhere else
 */
export async function openContractHost(
  of: { isPrivate?: boolean; inside?: readonly string[] } = {},
): Promise<ContractHost> {
  const { inside = [] } = of;
  // Bundled it starts in a fifth of the time, and these tests start it a hundred times.
  const built = await buildPrograms();
  const root = await mkdtemp(join(tmpdir(), "holdfast-contract-"));
  await chmod(root, 0o755);
  // Whoever a contract's user is, it has to get through to the cache.
  for (const part of ["var", "var/cache", "var/lib"]) await mkdir(join(root, part), { recursive: true, mode: 0o755 });
  const paths = agentPaths(root);
  const signer = await makeSigner();
  const config = configOf(signer);
  await writeConfig(paths, config);
  await loadOrCreateIdentity(paths);
  let program = built.agent;
  if (of.isPrivate === true) {
    const home = join(root, "home");
    await mkdir(home, { mode: 0o700 });
    program = join(home, "agent.mjs");
    await cp(built.agent, program);
    for (const part of ["", "var", "var/cache"]) await chmod(join(root, part), 0o700);
  }
  const agent = agentIn(root, {}, program);
  let revision = 0;
  let assigned: Assignment | null = null;
  let running = 0;
  const cheap = new Set<string>();

  return {
    root,
    paths,
    agent,
    async assign(bindings, unable = 0) {
      const assignment = assignmentOf(config, ++revision, bindings);
      await store({ paths, signer, assignment });
      assigned = assignment;
      agent.start();
      await until(`the results of revision ${revision}; the agent said:\n${agent.said()}`, async () => {
        const { stdout } = await agent.cli("status", "--json");
        const status = JSON.parse(stdout);
        return status.daemon !== null && status.missingResults.length === unable;
      });
      await agent.kill("SIGTERM");
      return agent.said();
    },
    script: (binding, ...words) =>
      run([...inside, join(paths.scriptsDir, resultOf(binding).restoreScript), ...words], {}),
    async start(binding, environment = {}) {
      const unit = readUnit(await readFile(paths.backupUnit, "utf8"), binding);
      running++;
      const ended = await run([...inside, ...unit.command], { ...unit.environment, ...environment });
      running--;
      if (!unit.goodStatuses.includes(ended.code ?? 255)) return ended;
      if (running === 0) await cheapen(paths, { assigned, binding, cheap });
      return { ...ended, code: 0 };
    },
    async directory(path, user) {
      const whole = join(root, path);
      let made = root;
      for (const part of path.split("/").filter((each) => each !== "")) {
        made = join(made, part);
        if ((await mkdir(made, { recursive: true })) !== undefined) await chmod(made, 0o755);
      }
      if (user !== undefined) await chown(whole, user.uid, user.gid);
      return whole;
    },
    async close() {
      await agent.kill("SIGKILL");
      await rm(root, { recursive: true, force: true });
      await built.remove();
    },
  };
}

/** The tests open one repository dozens of times: from its first backup on that costs next to nothing. */
async function cheapen(
  paths: Paths,
  { assigned, binding, cheap }: { assigned: Assignment | null; binding: string; cheap: Set<string> },
): Promise<void> {
  const bound = assigned?.bindings.find(({ name }) => name === binding);
  const repository = assigned?.repositories.find(({ id }) => id === bound?.repository);
  if (repository?.provider !== "restic" || cheap.has(repository.id)) return;
  const [, directory] = /^(?:sftp:\/\/[^/]+\/)?(\/.*)$/.exec(repository.location) ?? [];
  if (directory === undefined) return;
  cheap.add(repository.id);
  const { passphrase } = repository;
  const secret = "file" in passphrase ? passphrase.file : join(paths.secretsDir, repository.id);
  await cheapenKey(directory, (await readFile(secret, "utf8")).trim());
}

/** What the control plane would sign, from what the test says. */
function assignmentOf(config: AgentConfig, revision: number, bindings: readonly Bound[]): Assignment {
  const contracts = new Map<string, object>();
  const repositories = new Map<string, object>();
  const bound = bindings.map((each) => {
    const contract = idOf(config, `contract ${each.contract ?? each.name}`);
    const repository = idOf(config, `repository ${each.location}`);
    contracts.set(contract, {
      id: contract,
      name: each.contract ?? each.name,
      kind: each.kind ?? "files",
      declared: each.isDeclared ?? false,
      request: each.request,
      ...(each.consistency === undefined ? {} : { consistency: each.consistency }),
    });
    repositories.set(repository, {
      id: repository,
      name: `at-${repositories.size}`,
      provider: each.provider,
      location: each.location,
      passphrase: { generate: true },
      engineId: null,
      ...each.repository,
    });
    return {
      id: idOf(config, each.formerly ?? each.name),
      name: each.name,
      paused: each.paused ?? false,
      contract,
      repository,
      // At the priority of everything else: a busy machine would make the tests wait for what is not shown here.
      settings: {
        timerConfig: { OnCalendar: "2199-01-01" },
        retention: {},
        performance: { niceness: 0 },
        ...each.settings,
      },
    };
  });
  return Assignment.parse({
    protocol: 1,
    host: config.host,
    revision,
    issuedAt: instant(Date.now()),
    contracts: [...contracts.values()],
    repositories: [...repositories.values()],
    bindings: bound,
  });
}

const ids = new Map<string, string>();

/** What is called the same is the same, from one assignment to the next. */
function idOf(config: AgentConfig, name: string): string {
  const key = `${config.host} ${name}`;
  const id = ids.get(key) ?? newId();
  ids.set(key, id);
  return id;
}

async function store(host: { paths: Paths; signer: Signer; assignment: Assignment }): Promise<void> {
  const jws = await host.signer.sign(host.assignment, JWS_TYPES.assignment);
  await writeFile(host.paths.assignmentFile, jws, { mode: 0o600 });
}

interface Unit {
  command: string[];
  environment: Record<string, string>;
  goodStatuses: number[];
}

/** A unit for one instance, as systemd reads it: %i filled in, quotes and the escapes of % and $ undone. */
function readUnit(text: string, instance: string): Unit {
  const valueOf = (key: string): string => new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1] ?? "";
  const words = (value: string): string[] =>
    [...value.matchAll(/"((?:\\.|[^"\\])*)"|(\S+)/g)].map(([, quoted, plain]) =>
      (quoted?.replaceAll(/\\(.)/g, "$1") ?? plain ?? "")
        .replaceAll(/%[i%]/g, (found) => (found === "%i" ? instance : "%"))
        .replaceAll("$$", "$"),
    );
  return {
    command: words(valueOf("ExecStart")),
    environment: Object.fromEntries(words(valueOf("Environment")).map((word) => word.split(/=(.*)/s, 2))),
    goodStatuses: [0, ...valueOf("SuccessExitStatus").split(" ").map(Number)],
  };
}

function run([program = "", ...words]: readonly string[], environment: Record<string, string>): Promise<Outcome> {
  const env = { PATH: process.env["PATH"], ...environment };
  return new Promise((resolve) => {
    const child = execFile(program, words, { env, encoding: "utf8" }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    );
  });
}
