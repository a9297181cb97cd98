// Wall time of a backup of which nothing changed, through the agent at the default settings, against the same tool by
// hand: pairs in turn, each with its own repository of the same tree. `npm run bench -- unchanged [FILES] [MIB]`.
import { execFileSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { backup } from "../../agent/runs.ts";
import { DEFAULT_RETENTION, Performance } from "../../shared/binding.ts";
import { type EngineHost, handEnvironment, newId, openEngineHost, type Work } from "../engine/engine-host.ts";

const PAIRS = 7;

const say = (line: string): boolean => process.stdout.write(`${line}\n`);

/** Prints every pair, and of each tool the medians, their spread and the median ratio; at the end all as JSON. */
export async function benchUnchanged(args: readonly string[]): Promise<void> {
  const trees = args.length > 0 ? [{ files: Number(args[0]), mib: Number(args[1] ?? 1) }] : TREES;
  const results = [];
  for (const tree of trees)
    for (const provider of ["restic", "borg"] as const) results.push(await compare(provider, tree));
  say(JSON.stringify(results));
}

interface Tree {
  readonly files: number;
  readonly mib: number;
}

const TREES: readonly Tree[] = [
  { files: 100, mib: 0.1 },
  { files: 20_000, mib: 1024 },
];

async function compare(provider: "restic" | "borg", tree: Tree) {
  const host = await openEngineHost({ provider, path: `/usr/bin/${provider}`, version: "" });
  try {
    await makeFiles(join(host.root, "data"), tree);
    const settings = { retention: DEFAULT_RETENTION, performance: Performance.parse({}) };
    const work = host.work({ settings });
    await throughAgent(host, work);
    const byHand = rawBackup(host, work, provider);
    byHand();
    const pairs: { hand: number; agent: number }[] = [];
    for (let pair = 0; pair < PAIRS; pair++) {
      const hand = await milliseconds(byHand);
      const agent = await milliseconds(() => throughAgent(host, work));
      pairs.push({ hand, agent });
      say(`${provider}, ${tree.files} files: by hand ${hand} ms, through the agent ${agent} ms`);
    }
    const ratio = median(pairs.map(({ hand, agent }) => agent / hand));
    const beside = median(pairs.map(({ hand, agent }) => agent - hand));
    say(
      `${provider}, ${tree.files} files: ratio ${ratio.toFixed(3)}, ${beside.toFixed(0)} ms beside the tool's own time`,
    );
    return { provider, ...tree, pairs, ratio, beside };
  } finally {
    await host.close();
  }
}

async function makeFiles(directory: string, { files, mib }: Tree): Promise<void> {
  const bytes = Math.ceil((mib * 2 ** 20) / files);
  for (let index = 0; index < files; index++) {
    const folder = join(directory, String(index % 200));
    if (index < 200) await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${index}.bin`), randomFillSync(Buffer.allocUnsafe(bytes)));
  }
}

async function throughAgent({ deps }: EngineHost, work: Work): Promise<void> {
  const outcome = await backup(deps, {
    ...work,
    runId: newId(),
    trigger: "schedule",
    scheduledAt: null,
    signal: new AbortController().signal,
  });
  if (outcome.state !== "succeeded") throw new Error(JSON.stringify(outcome));
}

/** The same tool on a repository of its own, with the options that decide what is stored. */
function rawBackup(host: EngineHost, work: Work, provider: "restic" | "borg"): () => void {
  const repository = join(host.root, "by-hand");
  const plain = { ...handEnvironment(host, work), RESTIC_REPOSITORY: repository, BORG_REPO: repository };
  const run = (...args: string[]): void => {
    execFileSync(`/usr/bin/${provider}`, args, { env: plain, stdio: "ignore" });
  };
  run(...(provider === "restic" ? ["init"] : ["init", "--encryption", "repokey-blake2"]));
  const data = join(host.root, "data");
  let count = 0;
  return () => (provider === "restic" ? run("backup", "--json", data) : run("create", "--json", `::${count++}`, data));
}

async function milliseconds(work: () => void | Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return Math.round(performance.now() - start);
}

function median(values: number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN;
}
