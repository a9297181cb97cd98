import { readdirSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { RunOutcome } from "../../agent/run/deps.ts";
import { listProcesses } from "../../agent/system/process/process-ref.ts";
import { isGood } from "../../shared/run.ts";
import { type EngineHost, newId, openEngineHost, useEngine } from "../engine/engine-host.ts";
import { BY_TOOL } from "../provider/by-tool.ts";
import { type FoundEngine, oldestAndNewest } from "../support/engines.ts";
import shareEngines from "../support/engines.setup.ts";
import type { Dice } from "../support/random.ts";
import { type Fault, type Found, found } from "./fault.ts";
import { type Bench, type Way, WAYS } from "./tool-broken-ways.ts";

/**
 * The tool is broken in one way for one backup, then it is whole again: what was said of the backup has to be what the
 * repository holds, and the next one has to succeed by itself.
 */
export const toolBroken: Fault = {
  name: "tool-broken",
  rounds: 150,
  async start(log) {
    const unshare = process.env["HOLDFAST_TEST_ENGINES"] === undefined ? await shareEngines() : async () => undefined;
    const pairs = (["restic", "borg"] as const).map((provider) => oldestAndNewest(provider));
    const [one, ...others] = pairs.flatMap(([oldest, newest]) => [
      { engine: oldest, other: newest },
      { engine: newest, other: oldest },
    ]);
    if (one === undefined) throw new Error("there is no tool");
    const benches = new Map<FoundEngine, Bench>();
    return {
      async round(dice) {
        const { engine, other } = dice.pick([one, ...others]);
        useEngine(engine);
        const bench = benches.get(engine) ?? (await openBench(engine, other));
        benches.set(engine, bench);
        const way = dice.pick(WAYS);
        const result = await breakOnce(bench, way, dice);
        const { provider, version } = bench.engine;
        log(
          `${provider} ${version}, ${way.name}: ${result.said.length === 0 ? "as it should" : result.said.join("; ")}`,
        );
        return result;
      },
      async end() {
        for (const { host } of benches.values()) await host.close();
        await unshare();
      },
    };
  },
};

async function openBench(engine: FoundEngine, other: FoundEngine): Promise<Bench> {
  const host = await openEngineHost(engine);
  host.impatient();
  await mkdir(join(host.root, "broken"));
  await host.write("data/file", "of the first day");
  const work: Bench["work"] = (settings) => host.work(settings === undefined ? {} : { settings });
  const first = await host.backup(work());
  if (first.state !== "succeeded") throw new Error(`no first backup: ${first.failure?.message}`);
  const stranger = join(host.root, "srv/stranger");
  host.byHand(host.work({ location: stranger }), ...BY_TOOL[engine.provider].init);
  const said = { message_type: "summary", snapshot_id: first.snapshot, total_files_processed: 1 };
  const stats = { nfiles: 1, original_size: 3, deduplicated_size: 3 };
  const oldSaying = JSON.stringify(engine.provider === "restic" ? said : { archive: { id: first.snapshot, stats } });
  await clearSpool(host);
  return { host, engine, other, stranger, oldSaying, work };
}

async function breakOnce(bench: Bench, way: Way, dice: Dice): Promise<Found> {
  const { host, engine } = bench;
  const idsNow = (): string[] => BY_TOOL[engine.provider].ids(host, bench.work());
  const mark = newId();
  await host.write("data/file", `of ${mark}`);
  const before = idsNow();
  const runId = newId();
  const mend = await way.begin(bench, dice);
  let outcome: RunOutcome;
  try {
    outcome = await host.backup(bench.work(way.limit === undefined ? undefined : { runTimeLimit: way.limit }), {
      runId,
    });
  } finally {
    await mend();
    useEngine(engine);
  }
  const left = leftBehind(runId);
  // By the agent first: a borg that was killed behind our back has left a lock that only the same host's next one
  // removes.
  const next = await host.backup(bench.work());
  const after = idsNow();
  const reports = (await host.reports()).filter(({ run }) => run.id === runId);
  const lies = [
    ...liesOf(
      outcome,
      way,
      after.filter((id) => !before.includes(id) && id !== next.snapshot),
    ),
    ...left,
    ...(reports[0]?.run.state === outcome.state
      ? []
      : [`reported as ${reports[0]?.run.state}, and was ${outcome.state}`]),
  ];
  if (next.state !== "succeeded") lies.push(`the next backup ${next.state}: ${next.failure?.message}`);
  else if (!holds(bench, mark)) lies.push("the next backup does not hold what was there");
  await clearSpool(host);
  return found({
    lost: before.filter((id) => !after.includes(id)).length + (reports.length === 0 ? 1 : 0),
    doubled: Math.max(0, after.length - before.length - 2) + Math.max(0, reports.length - 1),
    lied: lies.length,
    said: lies.map((lie) => `${engine.provider} ${engine.version}, ${way.name}: ${lie}`),
  });
}

/** What was said of the run and is not so. */
function liesOf({ state, failure, snapshot }: RunOutcome, { codes }: Way, made: readonly string[]): string[] {
  const how = `${state}${failure === null ? "" : ` (${failure.code}: ${failure.message.slice(0, 300)})`}`;
  if (isGood(state)) {
    return snapshot !== null && made.includes(snapshot)
      ? []
      : [`${how} with snapshot ${snapshot}, and made ${made.join()}`];
  }
  if (codes === null) return [`${how}, and was to succeed`];
  return failure !== null && codes.includes(failure.code) ? [] : [`${how}, which is not what was wrong`];
}

/** Processes of the run that live on. */
function leftBehind(run: string): string[] {
  return listProcesses().flatMap(({ pid }) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "latin1").includes(`HOLDFAST_RUN=${run}`)
        ? [`process ${pid} is left`]
        : [];
    } catch {
      return [];
    }
  });
}

function holds({ host, engine, work }: Bench, mark: string): boolean {
  const path = join(host.root, "data/file");
  if (engine.provider === "restic") return host.byHand(work(), "dump", "latest", path).includes(mark);
  const [newest = ""] = host.byHand(work(), "list", "--last", "1", "--format", "{archive}{NL}").split("\n");
  return host.byHand(work(), "extract", "--stdout", `::${newest}`, path.slice(1)).includes(mark);
}

async function clearSpool(host: EngineHost): Promise<void> {
  for (const { run, sequence } of await host.reports()) await host.spool.removeIfUnchanged(run.id, sequence);
  const left = readdirSync(host.paths.spoolDir);
  if (left.length > 0) throw new Error(`the spool holds ${left.join()}`);
}
