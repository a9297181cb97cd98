import { parseArgs } from "node:util";
import { type Fault, play, type Tally } from "./fault.ts";
import { FAULTS } from "./faults.ts";

/*
 * npm run faults -- [--seed N] [--rounds M] [--minutes T] [--only NAME[,NAME…]]: breaks things on purpose and prints
 * what was lost, doubled or lied about. Exits with 1 when anything was. Ctrl-C ends it with what was found so far, and
 * cleans up.
 */

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Math.floor(Date.now() / 1000)) },
    rounds: { type: "string" },
    minutes: { type: "string", default: "60" },
    only: { type: "string" },
  },
});

const wanted = values.only?.split(",") ?? null;
const unknown = wanted?.find((name) => !FAULTS.some((fault) => fault.name === name));
if (unknown !== undefined)
  throw new Error(`there is no fault "${unknown}": ${FAULTS.map(({ name }) => name).join(", ")}`);
const seed = Number(values.seed);
const untilMs = Date.now() + Number(values.minutes) * 60_000;

const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => stop.abort());

const tallies: Tally[] = [];
for (const fault of FAULTS.filter(({ name }) => wanted?.includes(name) ?? true)) {
  if (!stop.signal.aborted && Date.now() < untilMs) tallies.push(await played(fault));
}
process.stdout.write(`${tableOf(tallies)}\n`);
// What a round that was stopped still waits for must not keep this from ending.
process.exit(tallies.some(({ lost, doubled, lied }) => lost + doubled + lied > 0) ? 1 : 0);

async function played(fault: Fault): Promise<Tally> {
  const rounds = values.rounds === undefined ? fault.rounds : Number(values.rounds);
  const log = (line: string): void => void process.stderr.write(`${fault.name}: ${line}\n`);
  const tally = await play(fault, { seed, rounds, untilMs, stop: stop.signal, log });
  process.stderr.write(`${lineOf(tally)}\n`);
  return tally;
}

function tableOf(all: readonly Tally[]): string {
  return [
    "| fault | rounds | lost | doubled | lied | seed | seconds |",
    "|---|---|---|---|---|---|---|",
    ...all.map(lineOf),
  ].join("\n");
}

function lineOf({ name, rounds, lost, doubled, lied, seed: used, seconds }: Tally): string {
  return `| ${name} | ${rounds} | ${lost} | ${doubled} | ${lied} | ${used} | ${seconds} |`;
}
