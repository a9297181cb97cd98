import { parseArgs } from "node:util";
import { playTarget } from "../../fuzz/target.ts";
import { newCount } from "./plan.ts";
import { execTarget } from "./scene.ts";

/*
 * npm run exec -- [--cases N] [--seed N]: puts N hostile texts into every field of what a control plane sends, and
 * looks at every child that the agent starts. Exits with 1 when one was started with anything that is not on the list.
 */

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "100000" },
    seed: { type: "string", default: String(Math.floor(Date.now() / 1000)) },
  },
});
const [cases, seed] = [Number(values.cases), Number(values.seed)];
const count = newCount();
let isAsked = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => (isAsked = true));
const tally = await playTarget(execTarget(count), {
  seed,
  cases: Number.MAX_SAFE_INTEGER,
  isOver: () => isAsked || count.strings >= cases,
  log: (line) => void process.stderr.write(`${line}\n`),
});
const { strings, refused, children, states, programs } = count;
const lines = [
  "| texts | refused by a schema | runs | children | broken | seed | seconds |",
  "|---|---|---|---|---|---|---|",
  `| ${strings} | ${refused} | ${tally.cases} | ${children} | ${tally.broken.length} | ${seed} | ${Math.round(tally.seconds)} |`,
  ...[...states, ...programs]
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, times]) => `${key}: ${times}`),
];
process.stdout.write(`${lines.join("\n")}\n`);
if (tally.broken.length > 0) process.exitCode = 1;
