import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { backup, forget, restore, runUpkeep } from "../../../agent/runs.ts";
import type { RunOutcome } from "../../../agent/run/deps.ts";
import { ownUser } from "../../../agent/system/process/user.ts";
import { Assignment, RestoreRequest } from "../../../shared/assignment.ts";
import type { CredentialSource } from "../../../shared/secret-source.ts";
import { type EngineHost, newId } from "../../engine/engine-host.ts";
import type { Dice } from "../../support/random.ts";
import { one } from "../../fuzz/mutation.ts";
import { textAt, textsIn, withText } from "./fields.ts";
import { hostileName, hostileText } from "./hostile.ts";
import type { Recorder } from "./recorder.ts";
import { type Ids, templateOf } from "./template.ts";

/** What was counted over all cases. */
export interface Count {
  strings: number;
  refused: number;
  children: number;
  readonly states: Map<string, number>;
  readonly programs: Map<string, number>;
  /** Variables that children had. */
  readonly variables: Set<string>;
}

export function newCount(): Count {
  return { strings: 0, refused: 0, children: 0, states: new Map(), programs: new Map(), variables: new Set() };
}

const RESTIC_VERSIONS = ["0.14.0", "0.15.2", "0.16.4", "0.17.3", "0.19.1"];
const BORG_VERSIONS = ["1.2.4", "1.4.0"];

export interface Scene {
  readonly dice: Dice;
  readonly host: EngineHost;
  readonly recorder: Recorder;
  readonly ids: Ids;
  readonly count: Count;
}

export interface Plan {
  readonly what: string;
  readonly assignment: Assignment;
  /** The contents of the files of secrets, by their variable. */
  readonly secrets: ReadonlyMap<string, string>;
  readonly sources: readonly string[];
  run(): Promise<RunOutcome>;
}

/** One run, with hostile texts wherever a schema takes them. */
export async function planCase({ dice, host, recorder, ids, count }: Scene): Promise<Plan> {
  const isBorg = dice.isLucky(0.4);
  await recorder.answer("restic-version", `restic ${one(dice, RESTIC_VERSIONS)} compiled with go`);
  await recorder.answer("borg---version", `borg ${one(dice, BORG_VERSIONS)}`);
  const data = join(host.root, "data");
  const template = templateOf({
    root: host.root,
    ids,
    isBorg,
    // Only root can start anything as another user.
    user: process.getuid?.() === 0 && dice.isLucky(0.3) ? "nobody" : ownUser().name,
    isDump: dice.isLucky(0.15),
    location: one(dice, isBorg ? BORG_PLACES : RESTIC_PLACES),
  });
  let assignment = Assignment.parse(template);
  for (const place of textsIn(template)) {
    for (let tries = TRIES.get(place.pattern) ?? 1; tries > 0; tries--) {
      const text = hostileFor(dice, place.pattern, { good: textAt(template, place.path), root: host.root });
      count.strings++;
      const parsed = Assignment.safeParse(withText(assignment, place.path, text));
      if (!parsed.success) count.refused++;
      else if (dice.isLucky(KEPT.get(place.pattern) ?? 1)) {
        assignment = parsed.data;
        break;
      }
    }
  }
  const request = {
    snapshot: "latest",
    target: dice.isLucky(0.5) ? join(host.root, "target") : null,
    include: dice.isLucky(0.5) ? [join(data, "file")] : [],
  };
  let restoring = RestoreRequest.parse({
    ...request,
    verify: false,
    overwrite: dice.pick(["always", "if-changed", "never"]),
  });
  for (const place of textsIn(request)) {
    const text = hostileFor(dice, `restore.${place.pattern}`, { good: textAt(request, place.path), root: host.root });
    count.strings++;
    const parsed = RestoreRequest.safeParse(withText(restoring, place.path, text));
    if (!parsed.success) count.refused++;
    else if (dice.isLucky(0.5) && (parsed.data.target?.startsWith(host.root) ?? true)) restoring = parsed.data;
  }
  const [binding] = assignment.bindings;
  const [repository] = assignment.repositories;
  const [contract] = assignment.contracts;
  if (binding === undefined || repository === undefined || contract === undefined)
    throw new Error("a template without a binding");
  const sources = contract.kind === "files" ? contract.request.sourceDirectories : [];
  for (const source of sources) await makeFile(join(source, "file"), "one\n");
  if ("file" in repository.passphrase) await makeFile(repository.passphrase.file, "hunter2 hunter2\n");
  const secrets = await makeSecrets(dice, { ...repository.secrets, ...binding.settings.environment });
  const start = {
    assignment,
    runId: newId(),
    trigger: "manual",
    scheduledAt: null,
    signal: new AbortController().signal,
  } as const;
  const runs = {
    backup: () => backup(host.deps, { ...start, binding, acceptSources: true }),
    forget: () => forget(host.deps, { ...start, binding, dryRun: false }),
    restore: () => restore(host.deps, { ...start, binding, restore: restoring }),
    prune: () => runUpkeep(host.deps, { ...start, repository, kind: "prune" }),
    check: () => runUpkeep(host.deps, { ...start, repository, kind: "check" }),
  };
  const what = dice.pick<keyof typeof runs>([
    "backup",
    "backup",
    "backup",
    "backup",
    "backup",
    "restore",
    "restore",
    "forget",
    "prune",
    "check",
  ]);
  return { what: `${what} ${contract.kind}`, assignment, secrets, sources, run: runs[what] };
}

const RESTIC_PLACES = [
  "/srv/repository",
  "sftp:me@nas:/srv",
  "sftp://me@nas:22//srv",
  "rest:https://nas/me",
  "s3:https://nas/bucket",
  "rclone:remote:path",
  "b2:bucket:path",
];
const BORG_PLACES = ["/srv/repository", "ssh://me@nas:22/srv/repository"];

/** Where one hostile text seldom gets through, or where it matters most. */
const TRIES = new Map<string, number>([
  ["repositories[].location", 6],
  ["repositories[].ssh.identityFile", 4],
  ["repositories[].ssh.hostKey", 2],
  ["contracts[].request.excludePatterns[]", 2],
  ["contracts[].consistency[].postgres", 3],
  ["contracts[].consistency[].mariadb", 3],
  ["contracts[].consistency[].role", 3],
]);

/** What ends a run before it starts anything, whenever it is odd, is so in some cases only. */
const KEPT = new Map<string, number>([
  ["contracts[].request.user", 0.1],
  ["contracts[].request.hooks.beforeBackup[]", 0.04],
  ["contracts[].request.hooks.afterBackup[]", 0.04],
  ["contracts[].request.backupCmd", 0.2],
  ["contracts[].request.restoreCmd", 0.2],
  ["contracts[].mountPoints[]", 0.05],
  ["contracts[].consistency[].user", 0.1],
  ["contracts[].consistency[].sqlite", 0],
  ["contracts[].request.excludePatterns[]", 0.7],
  ["repositories[].engineId", 0.05],
  ["bindings[].settings.runTimeLimit", 0.2],
  ["bindings[].settings.hookTimeLimit", 0.2],
]);

/** Paths that must be there for a run to go on are hostile in their last name. */
const REAL = /sourceDirectories|passphrase|secrets|environment|^restore\.target|^restore\.include/;

function hostileFor(dice: Dice, pattern: string, { good, root }: { good: string; root: string }): string {
  if (!REAL.test(pattern)) return hostileText(dice, good);
  if (dice.isLucky(0.3)) {
    const text = hostileText(dice, good);
    // Nothing is made outside the test's own directory.
    return text.startsWith(`${root}/`) || !text.startsWith("/") ? text : join(root, "data", "odd", text.slice(0, 200));
  }
  return join(root, "data", hostileName(dice), hostileName(dice));
}

const ACCOUNT_FILE = "GOOGLE_APPLICATION_CREDENTIALS";

/** @returns what each variable should hold: by what is in its file in the end, for two may have one path */
async function makeSecrets(
  dice: Dice,
  sources: Readonly<Record<string, CredentialSource | undefined>>,
): Promise<Map<string, string>> {
  const files = Object.entries(sources).flatMap(([name, source]) =>
    source !== undefined && "file" in source ? [{ name, file: source.file }] : [],
  );
  for (const { name, file } of files) {
    if (name === ACCOUNT_FILE) {
      await makeFile(file, `{\n  "type": "service_account"\n}\n`);
      continue;
    }
    const text = hostileText(dice, "secret").replaceAll(/[\0\r\n]/g, "");
    await makeFile(file, `${text.slice(0, 1000).toWellFormed() || "secret"}\n`);
  }
  const found = new Map<string, string>();
  for (const { name, file } of files.filter((one) => one.name !== ACCOUNT_FILE)) {
    const text = await readFile(file, "utf8").catch(() => null);
    if (text !== null) found.set(name, text.replace(/\n$/, ""));
  }
  return found;
}

async function makeFile(path: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  } catch (error) {
    // A name too long for a file, or one that holds another file: the run has to live with that.
    if (!(error instanceof Error) || !("code" in error)) throw error;
  }
}
