import { randomBytes } from "node:crypto";
import { chmod, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunFailureCode } from "../../shared/failure.ts";
import { type EngineHost, useEngine, type Work } from "../engine/engine-host.ts";
import type { FoundEngine } from "../support/engines.ts";
import type { Dice } from "../support/random.ts";

/** One host with a tool that can be broken: what a way of breaking it works on. */
export interface Bench {
  readonly host: EngineHost;
  readonly engine: FoundEngine;
  /** Another version of the same tool. */
  readonly other: FoundEngine;
  /** A repository of another's, at hand. */
  readonly stranger: string;
  /** Of an older snapshot, as the tool would say it again. */
  readonly oldSaying: string;
  work(settings?: { runTimeLimit: string }): Work;
}

export interface Way {
  readonly name: string;
  /** How the run may end besides well; null: it must end well. */
  readonly codes: readonly RunFailureCode[] | null;
  /** For the run alone. */
  readonly limit?: string;
  /** @returns what mends it again */
  begin(bench: Bench, dice: Dice): Promise<() => Promise<void>>;
}

const CALLS = { restic: ["version", "cat", "backup", "snapshots"], borg: ["--version", "list", "create"] } as const;
const STORES = { restic: ["backup"], borg: ["create"] } as const;
/** What a tool that says nothing of use may be taken for. */
const UNCLEAR: readonly RunFailureCode[] = [
  ...(["engine.failed", "engine.crashed", "engine.missing", "repository.unreachable", "snapshot.not_listed"] as const),
  ...(["repository.missing", "repository.locked", "repository.wrong_passphrase", "source.unreadable"] as const),
];

export const WAYS: readonly [Way, ...Way[]] = [
  stub("killed", ["engine.crashed", "engine.missing", "snapshot.not_listed"], (dice) => ends("KILL", dice)),
  stub("terminated", ["engine.crashed", "engine.failed", "engine.missing", "snapshot.not_listed"], (dice) =>
    ends("TERM", dice),
  ),
  stub("137", ["engine.crashed", "engine.missing", "snapshot.not_listed"], () => "exit 137"),
  stub(
    "out of memory",
    ["engine.crashed", "engine.failed", "engine.missing", "snapshot.not_listed"],
    () => `ulimit -v 40000; exec "$real" "$@"`,
  ),
  {
    ...stub(
      "hung",
      ["run.timed_out", "repository.unreachable", "snapshot.not_listed"],
      () => "exec sleep 1000",
      STORES,
    ),
    limit: "3s",
  },
  stub("silent", UNCLEAR, () => "exit 0"),
  stub(
    "random bytes",
    UNCLEAR,
    (dice) => `head -c 100000 /dev/urandom; head -c 100000 /dev/urandom >&2; exit ${dice.pick([0, 1, 2, 3, 11])}`,
  ),
  stub(
    "half a line",
    UNCLEAR,
    (dice) => `printf '{"message_type":"summary","snapshot_id":"'; exit ${dice.pick([0, 1])}`,
  ),
  stub("a line without end", UNCLEAR, () => "head -c 200000000 /dev/zero | tr '\\0' x; exit 0"),
  stub("well, and says it failed", null, (dice) => `"$real" "$@"; exit ${dice.pick([1, 2])}`, STORES),
  stub("an older snapshot again", ["snapshot.not_listed"], () => `echo "$oldSaying"; exit 0`, STORES),
  {
    name: "missing",
    codes: ["engine.missing"],
    async begin({ host, engine }) {
      useEngine({ provider: engine.provider, path: join(host.root, "nowhere") });
      return async () => undefined;
    },
  },
  stub("too old", ["engine.unsupported"], () => `echo "$provider 0.9.0"; exit 0`, {
    restic: ["version"],
    borg: ["--version"],
  }),
  {
    name: "replaced by another version",
    codes: null,
    async begin({ other }) {
      useEngine(other);
      return async () => undefined;
    },
  },
  {
    name: "wrong passphrase",
    codes: ["repository.wrong_passphrase"],
    begin: async ({ host, work }) =>
      await replaced(join(host.paths.secretsDir, work().binding.repository), "another\n"),
  },
  {
    name: "repository swapped",
    codes: ["repository.swapped", "repository.wrong_passphrase"],
    async begin({ host, stranger }) {
      const place = join(host.root, "srv/repository");
      await rename(place, `${place}.ours`);
      await rename(stranger, place);
      return async () => {
        await rename(place, stranger);
        await rename(`${place}.ours`, place);
      };
    },
  },
  {
    name: "repository's disk is not mounted",
    codes: ["repository.missing"],
    begin: ({ host }) => movedAway(join(host.root, "srv/repository")),
  },
  { name: "source is gone", codes: ["source.missing"], begin: ({ host }) => movedAway(join(host.root, "data")) },
];

/** A program in the place of the tool that breaks one of its calls, and is the tool in the others. */
function stub(
  name: string,
  codes: readonly RunFailureCode[] | null,
  script: (dice: Dice) => string,
  calls: Record<FoundEngine["provider"], readonly [string, ...string[]]> = CALLS,
): Way {
  return {
    name,
    codes,
    async begin({ host, engine, oldSaying }, dice) {
      const path = join(host.root, "broken", engine.provider);
      const text = [
        "#!/bin/sh",
        `real=${engine.path}; provider=${engine.provider}; oldSaying='${oldSaying}'`,
        `case " $* " in *" ${dice.pick(calls[engine.provider])} "*)`,
        `${script(dice)};; esac`,
        `exec "$real" "$@"`,
      ];
      await writeFile(path, `${text.join("\n")}\n`);
      await chmod(path, 0o755);
      useEngine({ provider: engine.provider, path });
      return () => rm(path);
    },
  };
}

/** Ended from outside, at some moment of its work. */
function ends(signal: "KILL" | "TERM", dice: Dice): string {
  return `"$real" "$@" & sleep 0.${String(dice.below(60)).padStart(2, "0")}; kill -${signal} $! 2>/dev/null; wait $!; exit $?`;
}

async function replaced(file: string, text: string): Promise<() => Promise<void>> {
  const kept = `${file}.${randomBytes(4).toString("hex")}`;
  await rename(file, kept);
  await writeFile(file, text, { mode: 0o600 });
  return () => rename(kept, file);
}

async function movedAway(path: string): Promise<() => Promise<void>> {
  await rename(path, `${path}.away`);
  return async () => {
    await rm(path, { recursive: true, force: true });
    await rename(`${path}.away`, path);
  };
}
