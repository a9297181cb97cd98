import { parseArgs } from "node:util";
import { playTarget, type Tally } from "./target.ts";
import { TARGETS } from "./targets.ts";

/*
 * npm run fuzz -- [--cases N] [--seed N] [--minutes T] [--only NAME[,NAME…]]: sends nonsense to everything that takes
 * what others wrote, and prints what broke. Exits with 1 when anything did. A finding names the target, the seed and
 * the cases that repeat it.
 */

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "100000" },
    seed: { type: "string", default: String(Math.floor(Date.now() / 1000)) },
    minutes: { type: "string", default: "60" },
    only: { type: "string" },
  },
});

/** The heap may grow by this from after the first tenth to the end; more is a leak. */
const MOST_GROWTH_MIB = 64;

const wanted = values.only?.split(",") ?? null;
const unknown = wanted?.find((name) => !TARGETS.some((target) => target.name === name));
if (unknown !== undefined)
  throw new Error(`there is no target "${unknown}": ${TARGETS.map(({ name }) => name).join(", ")}`);
const targets = TARGETS.filter(({ name }) => wanted?.includes(name) ?? true);
const shares = targets.reduce((sum, { share }) => sum + share, 0);
const seed = Number(values.seed);
const untilMs = Date.now() + Number(values.minutes) * 60_000;
let isAsked = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => (isAsked = true));
const isOver = (): boolean => isAsked || Date.now() >= untilMs;
const log = (line: string): void => void process.stderr.write(`${line}\n`);

const rows: string[] = [];
const tallies: Tally[] = [];
const begun = memoryNow();
for (const target of targets) {
  const cases = Math.round((Number(values.cases) * target.share) / shares);
  const warm = await playTarget(target, { seed, cases: Math.min(cases, target.casesPerRound), isOver, log });
  const before = memoryNow();
  const rest = await playTarget(target, { seed: seed + 1, cases: cases - warm.cases, isOver, log });
  const after = memoryNow();
  tallies.push(warm, rest);
  const growth = after.heapMiB - before.heapMiB;
  if (growth > MOST_GROWTH_MIB) {
    log(`${target.name}: the heap grew by ${growth} MiB`);
    process.exitCode = 1;
  }
  const seconds = Math.round(warm.seconds + rest.seconds);
  const slowest = Math.round(Math.max(warm.slowestMs, rest.slowestMs));
  const broken = warm.broken.length + rest.broken.length;
  rows.push(
    `| ${target.name} | ${warm.cases + rest.cases} | ${broken} | ${seconds} | ${slowest} | ${before.heapMiB} → ${after.heapMiB} | ${before.rssMiB} → ${after.rssMiB} |`,
  );
  log(rows.at(-1) ?? "");
}
const ended = memoryNow();
const total = tallies.reduce((sum, { cases }) => sum + cases, 0);
const broken = tallies.reduce((sum, tally) => sum + tally.broken.length, 0);
const seconds = Math.round(tallies.reduce((sum, tally) => sum + tally.seconds, 0));
const table = [
  "| target | cases | broken | seconds | slowest ms | heap MiB | RSS MiB |",
  "|---|---|---|---|---|---|---|",
  ...rows,
  `| all, seed ${seed} | ${total} | ${broken} | ${seconds} | | ${begun.heapMiB} → ${ended.heapMiB} | ${begun.rssMiB} → ${ended.rssMiB} |`,
];
process.stdout.write(`${table.join("\n")}\n`);
if (broken > 0) process.exitCode = 1;

function memoryNow(): { heapMiB: number; rssMiB: number } {
  globalThis.gc?.();
  const { heapUsed, rss } = process.memoryUsage();
  return { heapMiB: Math.round(heapUsed / 2 ** 20), rssMiB: Math.round(rss / 2 ** 20) };
}
