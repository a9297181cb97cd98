import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSpool } from "../../agent/state/spool.ts";
import { QUARANTINE_SUFFIX } from "../../agent/system/state-file.ts";
import type { RunFailure } from "../../shared/failure.ts";
import { isGood, isOver } from "../../shared/run.ts";
import { type EngineHost, newId, openEngineHost, useEngine } from "../engine/engine-host.ts";
import { BY_TOOL } from "../provider/by-tool.ts";
import { type FoundEngine, oldestAndNewest } from "../support/engines.ts";
import shareEngines from "../support/engines.setup.ts";
import type { Dice } from "../support/random.ts";
import { mountSmallDisk, type SmallDisk } from "../support/small-disk.ts";
import { type Fault, type Found, found } from "./fault.ts";

const PLACES = ["spool", "state", "cache", "repository"] as const;
type Place = (typeof PLACES)[number];

interface Bench {
  readonly host: EngineHost;
  readonly engine: FoundEngine;
  readonly disks: Record<Place, SmallDisk>;
}

/**
 * A disk that one backup needs is full, or soon will be: the spool's, the state's, the cache's with the tool's TMPDIR,
 * the repository's. Once there is room, the next backup has to succeed without anybody's help.
 */
export const diskFull: Fault = {
  name: "disk-full",
  rounds: 60,
  async start(log) {
    const unshare = process.env["HOLDFAST_TEST_ENGINES"] === undefined ? await shareEngines() : async () => undefined;
    const [one, ...others] = [...oldestAndNewest("restic"), ...oldestAndNewest("borg")];
    if (one === undefined) throw new Error("there is no tool");
    const benches = new Map<FoundEngine, Bench>();
    return {
      async round(dice) {
        const engine = dice.pick([one, ...others]);
        useEngine(engine);
        const bench = benches.get(engine) ?? (await openBench(engine));
        benches.set(engine, bench);
        const place = dice.pick(PLACES);
        const { how, result } = await fillOnce(bench, place, dice);
        log(`${engine.provider} ${engine.version}, the ${place}'s disk: ${how}`);
        return result;
      },
      async end() {
        for (const { host, disks } of benches.values()) {
          for (const disk of [disks.spool, disks.state, disks.cache, disks.repository]) disk.unmount();
          await host.close();
        }
        await unshare();
      },
    };
  },
};

async function openBench(engine: FoundEngine): Promise<Bench> {
  const host = await openEngineHost(engine);
  const { paths } = host;
  // The state's first: the spool's lies in it.
  const state = mountSmallDisk(paths.state, 8_192);
  mkdirSync(paths.spoolDir, { recursive: true });
  const disks = {
    state,
    spool: mountSmallDisk(paths.spoolDir, 1_024),
    cache: mountSmallDisk(paths.cache, 32_768, "755"),
    repository: mountSmallDisk(join(host.root, "srv"), 32_768, "755"),
  };
  await host.write("data/file", "of the first day");
  const first = await host.backup(host.work());
  if (first.state !== "succeeded") throw new Error(`no first backup: ${first.failure?.message}`);
  // Else it asks for more room than this disk has before it does anything.
  const place = join(host.root, "srv/repository");
  if (engine.provider === "borg") host.byHand(host.work(), "config", place, "max_segment_size", "4194304");
  return { host, engine, disks };
}

async function fillOnce(
  { host, engine, disks }: Bench,
  place: Place,
  dice: Dice,
): Promise<{ how: string; result: Found }> {
  const tool = BY_TOOL[engine.provider];
  const lies: string[] = [];
  const before = tool.ids(host, host.work());
  writeFileSync(join(host.root, "data/file"), randomBytes(100_000 + dice.below(400_000)));
  const runId = newId();
  const leave = dice.pick([0, 0, 4_096, 20_000, 70_000, 200_000]);
  disks[place].fill(leave);
  const { state, failure, snapshot } = await host.backup(host.work(), { runId });
  const spool = openSpool(host.paths);
  if ((await spool.list().catch(() => null)) === null) lies.push("the spool can't be read while the disk is full");
  disks[place].empty();

  const how = `${leave} bytes left, ${state}${failure === null ? "" : ` (${failure.code}: ${failure.message.slice(0, 200)})`}`;
  // By the agent first: a borg that had no room for its last words has left a lock that only the same host's next one
  // removes.
  const next = await host.backup(host.work());
  if (next.state !== "succeeded")
    lies.push(`the next one ${next.state}: ${next.failure?.message ?? next.warnings.join("; ")}`);
  const made = tool.ids(host, host.work()).filter((id) => !before.includes(id) && id !== next.snapshot);
  if (isGood(state) && (snapshot === null || !made.includes(snapshot))) lies.push(`${how}, and made ${made.join()}`);
  if (!isGood(state) && !namesDisk(host, place, failure)) lies.push(`${how}: that does not name the disk`);

  const entries = await host.reports();
  for (const { run, sequence } of entries) {
    if (!isOver(run.state)) lies.push(`run ${run.id} is ${run.state} for ever`);
    else await host.spool.removeIfUnchanged(run.id, sequence);
  }
  const mine = entries.find(({ run }) => run.id === runId);
  if (mine !== undefined && mine.run.state !== state) lies.push(`reported as ${mine.run.state}, and was ${state}`);
  if (isGood(state) && mine === undefined) lies.push("a backup that was made is not reported");
  lies.push(...damageIn(host));
  if (place === "repository" && !isWhole(host, engine)) lies.push("the repository is damaged");
  const end = tool.ids(host, host.work());
  const lost = before.filter((id) => !end.includes(id)).length;
  const said = lies.map((lie) => `${engine.provider} ${engine.version}, the ${place}'s disk: ${lie}`);
  return { how, result: found({ lost, lied: lies.length, said }) };
}

function namesDisk({ paths }: EngineHost, place: Place, failure: RunFailure | null): boolean {
  if (failure === null) return false;
  if (place === "repository") return failure.code === "repository.full";
  const directory = { spool: paths.spoolDir, state: paths.state, cache: paths.cache }[place];
  return failure.code === "host.failed" && failure.message.includes(directory);
}

/** Files that were set aside, and drafts that were left. */
function damageIn({ paths }: EngineHost): string[] {
  const names = readdirSync(paths.state, { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => name.endsWith(QUARANTINE_SUFFIX) || name.endsWith(".tmp"))
    .map((name) => `${name} is left`);
}

function isWhole(host: EngineHost, { provider }: FoundEngine): boolean {
  try {
    host.byHand(host.work(), "check", ...(provider === "restic" ? ["--read-data"] : []));
    return true;
  } catch {
    return false;
  }
}
