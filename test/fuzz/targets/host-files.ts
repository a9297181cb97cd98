import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { readDeclared } from "../../../agent/declared/contract-files.ts";
import { readContractState } from "../../../agent/declared/contract-state.ts";
import { loadAssignment } from "../../../agent/link/assignments.ts";
import { agentPaths, type Paths, readConfig } from "../../../agent/config.ts";
import { readDaemonState } from "../../../agent/daemon/claim.ts";
import { wasAppendOnly } from "../../../agent/state/append-only.ts";
import { readForgetGate } from "../../../agent/state/forget-gate.ts";
import { readNewestGood } from "../../../agent/state/good-snapshot.ts";
import { loadIdentity, loadOrCreateIdentity } from "../../../agent/link/identity.ts";
import { acquireLock } from "../../../agent/state/locks.ts";
import { readMade } from "../../../agent/state/made-snapshots.ts";
import { removeExpiredOrders } from "../../../agent/link/orders.ts";
import { listHooks, loadPolicy } from "../../../agent/policy/policy.ts";
import { ownProcessRef } from "../../../agent/system/process/process-ref.ts";
import { knownEngineIds } from "../../../agent/providers/engine-ids.ts";
import { readSecrets } from "../../../agent/policy/secrets.ts";
import { readSourceHistory } from "../../../agent/state/source-history.ts";
import { openSpool } from "../../../agent/state/spool.ts";
import { writeState } from "../../../agent/system/state-file.ts";
import { readUpkeep } from "../../../agent/state/upkeep-state.ts";
import { RunError } from "../../../agent/run-error.ts";
import { JWS_TYPES } from "../../../shared/assignment.ts";
import { assignmentOf, configOf, makeSigner } from "../../agent/signer.ts";
import { reportOf } from "../../control/reported.ts";
import type { Dice } from "../../support/random.ts";
import { NO_SPARE, one, spoilBytes, spoilJson, spoilText } from "../mutation.ts";
import { scratchDirectory } from "../scratch.ts";
import { mustHold, type Target } from "../target.ts";

/**
 * One file that the agent reads: where it is, what is in it when all is well, and what has to hold whatever is in it.
 */
interface Readable {
  readonly file: string;
  readonly text: string;
  /** @param text what is in it now; null when it is no file any more */
  read(text: string | null): Promise<void>;
}

/** Every file the agent reads on its host, damaged: nothing throws but what says so, and the damage allows nothing. */
export const hostFiles: Target = {
  name: "host-files",
  share: 7,
  casesPerRound: 3_000,
  async begin() {
    const root = await scratchDirectory();
    const paths = agentPaths(root);
    const files = await readablesOf(paths);
    return {
      async play(dice) {
        const readable = one(dice, files);
        const text = await spoilFile(dice, readable);
        try {
          await readable.read(text);
        } catch (error) {
          const which = readable.file.slice(root.length);
          throw new Error(`${which} with ${JSON.stringify(text)?.slice(0, 2_000)}`, { cause: error });
        } finally {
          await rm(readable.file, { recursive: true, force: true });
          await writeFile(readable.file, readable.text, { mode: 0o600 });
        }
      },
      end: () => rm(root, { recursive: true, force: true }),
    };
  },
};

async function spoilFile(dice: Dice, { file, text }: Readable): Promise<string | null> {
  const way = dice.below(100);
  if (way < 3) {
    await rm(file, { force: true });
    // As a directory, a link to itself, a link to nothing: whoever restores a host's files by hand may leave these.
    if (way === 0) await mkdir(file);
    else await symlink(way === 1 ? file : `${file}.gone`, file);
    return null;
  }
  if (way < 5) await writeFile(file, "");
  else if (way < 30) await writeFile(file, spoilBytes(dice, Buffer.from(text)));
  else if (way < 50 || !text.startsWith("{")) await writeFile(file, spoilText(dice, text));
  else await writeFile(file, spoilJson(dice, JSON.parse(text), NO_SPARE));
  return readFile(file, "utf8");
}

async function readablesOf(paths: Paths): Promise<Readable[]> {
  const signer = await makeSigner();
  const config = configOf(signer);
  const assignment = assignmentOf(config.host, 7);
  const [repository] = assignment.repositories;
  const [binding] = assignment.bindings;
  if (repository === undefined || binding === undefined) throw new Error("an assignment without a binding");
  const clock = { now: () => Date.parse("2026-11-23T08:00:00.000Z") };
  const random = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(7);
  const run = reportOf({
    id: binding.id,
    binding: binding.id,
    state: "succeeded",
    made: "a".repeat(64),
    log: "stored\n",
  });
  const spool = openSpool(paths);
  const good = "a".repeat(64);

  const made = async (file: string, value: object | string, read: Readable["read"]): Promise<Readable> => {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    if (typeof value === "string") await writeFile(file, value, { mode: 0o600 });
    else await writeState(file, value);
    return { file, text: await readFile(file, "utf8"), read };
  };
  const state = async (file: string, value: object, read: () => Promise<unknown>): Promise<Readable> =>
    made(file, value, async () => void (await read()));
  await loadOrCreateIdentity(paths);

  return [
    await made(paths.agentJson, JSON.stringify(config), () => orSays(() => readConfig(paths), /is damaged/)),
    await made(paths.policyJson, JSON.stringify(POLICY), (text) => judgePolicy(paths, text)),
    await made(paths.keyFile, await readFile(paths.keyFile, "utf8"), () =>
      orSays(() => loadIdentity(paths), /is not a key/),
    ),
    await made(paths.assignmentFile, await signer.sign(assignment, JWS_TYPES.assignment), async () => {
      const loaded = await loadAssignment({ paths, config, clock, log: () => undefined });
      mustHold(loaded === null || isDeepStrictEqual(loaded, assignment), () => `took ${JSON.stringify(loaded)}`);
    }),
    await made(join(paths.contractsDir, "photos.json"), JSON.stringify(CONTRACT), async (text) => {
      const { contracts, faults } = await readDeclared(paths);
      mustHold(
        text === null || contracts.length + faults.length > 0,
        () => "a file that is neither followed nor at fault",
      );
    }),
    await made(join(paths.hooksDir, "stop"), "#!/bin/sh\n", async () => void (await listHooks(paths))),
    await state(
      paths.contractsFile,
      { texts: { "photos.json": JSON.stringify(CONTRACT) }, refused: [], settled: null },
      async () => {
        await readContractState(paths);
        await readDeclared(paths);
      },
    ),
    await state(
      paths.daemonFile,
      { process: ownProcessRef(), socket: "open", since: "2026-11-23T08:00:00.000Z", clockOffsetMs: 0 },
      () => readDaemonState(paths),
    ),
    await state(join(paths.spoolDir, `${run.run.id}.json`), { report: run, owner: null, after: null }, async () => {
      const entries = await spool.list();
      mustHold(entries.length <= 1, () => `one file became ${entries.length} entries`);
    }),
    await state(
      join(paths.ordersDir, `${binding.id}.json`),
      { id: binding.id, expiresAt: "2026-11-24T08:00:00.000Z", acknowledgedAt: null },
      () => removeExpiredOrders({ paths, clock }),
    ),
    await state(join(paths.ordersDir, "floor.json"), { expiredUntil: "2026-11-20T08:00:00.000Z" }, () =>
      removeExpiredOrders({ paths, clock }),
    ),
    await state(
      join(paths.repositoriesDir, `${repository.id}.json`),
      { engineId: good, location: "/backup" },
      async () => {
        const known = await orRunError(() => knownEngineIds(paths, repository));
        // None known means that it was never seen, and may be made: only a file that is not there says so.
        mustHold(
          known === null || known.length > 0 || !(await isThere(join(paths.repositoriesDir, `${repository.id}.json`))),
          () => "a damaged file says that the repository was never seen",
        );
      },
    ),
    await state(join(paths.repositoriesDir, `${repository.id}.upkeep.json`), UPKEEP, () =>
      readUpkeep(paths, repository.id),
    ),
    await state(join(paths.bindingsDir, `${binding.id}.good.json`), { snapshot: good }, () =>
      orRunError(() => readNewestGood(paths, binding.id)),
    ),
    await state(
      join(paths.bindingsDir, `${binding.id}.made-${good.slice(0, 16)}.json`),
      { snapshots: [], isComplete: true, wasDamaged: false, newest: null },
      () => readMade(paths, { binding: binding.id, engineId: good }),
    ),
    await state(
      join(paths.bindingsDir, `${binding.id}.forget.json`),
      { retention: { keep_last: 3 }, most: [{ day: "2026-11-23", snapshots: 3 }], waiting: null },
      () => readForgetGate(paths, binding.id),
    ),
    await state(join(paths.state, "append-only.json"), { locations: ["/backup"], engineIds: [good] }, () =>
      orRunError(() => wasAppendOnly(paths, { location: "/backup", engineId: good })),
    ),
    await state(
      join(paths.state, "sources", `${binding.id}.json`),
      { of: "x", sizes: [{ files: 1, bytes: 2 }], mounts: { "/srv": "/" } },
      () => readSourceHistory(paths, binding.id),
    ),
    await made(join(paths.secretsDir, repository.id), "hunter2-hunter2\n", async () => {
      const input = { repository, wasSeen: true, mayGenerate: true };
      const secrets = await orRunError(() => readSecrets({ paths, random }, input));
      mustHold(secrets === null || secrets.passphrase !== "", () => "an empty passphrase");
    }),
    await made(
      join(paths.locksDir, "photos.lock"),
      JSON.stringify({ pid: 999_999_999, startTicks: "1@none", token: "x" }),
      () => lock(paths),
    ),
  ];
}

const POLICY = {
  hooks: "named",
  sources: ["/srv"],
  repositories: ["/backup"],
  users: ["root"],
  services: ["web.service"],
  restore: "staging",
  detect: true,
  outgoing: ["https://ntfy.example"],
};
const CONTRACT = {
  request: {
    user: "root",
    sourceDirectories: ["/srv/photos"],
    excludePatterns: ["*.tmp"],
    hooks: { beforeBackup: [], afterBackup: [] },
  },
  settings: { provider: "restic", repository: { path: "/backup" }, passphrase: { file: "/etc/p" } },
};
const UPKEEP = {
  nextPart: 2,
  damagedSince: null,
  prune: { since: "2026-11-23T08:00:00.000Z", times: 1, againAt: "2026-11-23T09:00:00.000Z" },
  check: null,
};

/** What is not what root wrote allows nothing at all, or exactly what it says. */
async function judgePolicy(paths: Paths, text: string | null): Promise<void> {
  const { fault, isDeclared: _none, ...policy } = await loadPolicy(paths);
  if (fault !== null) {
    const nothing = {
      hooks: "off",
      sources: [],
      repositories: [],
      users: [],
      services: [],
      restore: "off",
      detect: false,
    };
    const granted = Object.entries(nothing).filter(
      ([key, value]) => !isDeepStrictEqual(value, policy[key as keyof typeof policy]),
    );
    return mustHold(granted.length === 0, () => `what can't be followed grants ${JSON.stringify(policy)}`);
  }
  if (text === null) return;
  const said: unknown = JSON.parse(text);
  mustHold(typeof said === "object" && said !== null && !Array.isArray(said), () => "no object is followed");
  for (const [key, value] of Object.entries(said)) {
    if (key === "approve" || key === "outgoing") continue;
    mustHold(
      key in policy && isDeepStrictEqual(policy[key as keyof typeof policy], value),
      () => `${key} is followed as ${JSON.stringify(policy)}`,
    );
  }
}

async function lock(paths: Paths): Promise<void> {
  const isTaken = new AbortController();
  try {
    const taken = await acquireLock(paths, { name: "photos", signal: isTaken.signal, onWait: () => isTaken.abort() });
    await taken.release();
  } catch (error) {
    // Somebody who lives may have it: then whoever wants it waits.
    if (!isTaken.signal.aborted && !isOfDisk(error)) throw error;
  }
}

async function isThere(file: string): Promise<boolean> {
  return readFile(file).then(
    () => true,
    () => false,
  );
}

/** A directory or a loop where a file should be is the disk's trouble, and said as such. */
function isOfDisk(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EISDIR" || error.code === "ELOOP");
}

async function orSays(read: () => Promise<unknown>, words: RegExp): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (!(error instanceof Error && words.test(error.message)) && !isOfDisk(error)) throw error;
  }
}

async function orRunError<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof RunError) && !isOfDisk(error)) throw error;
    return null;
  }
}
