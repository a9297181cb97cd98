import { parseArgs } from "node:util";
import { compareWithSystemd } from "./compare.ts";

/** `node test/schedule/differential.ts --count 2000 --seed 1`: exits 1 when systemd and we differ without a reason. */
const { values } = parseArgs({
  options: { count: { type: "string", default: "2000" }, seed: { type: "string", default: "1" } },
});
const count = Math.min(Number(values.count), 100_000);
const started = performance.now();
const { asked, accepted, instants, explained, differences } = await compareWithSystemd(count, Number(values.seed));
for (const difference of explained) process.stdout.write(`(explained) ${difference}\n`);
for (const difference of differences) process.stdout.write(`${difference}\n`);
const seconds = ((performance.now() - started) / 1000).toFixed(1);
process.stdout.write(
  `${asked} expressions, ${accepted} accepted by systemd, ${instants} instants, ${explained.length} explained and ${differences.length} other differences, ${seconds} s\n`,
);
process.exitCode = differences.length === 0 ? 0 : 1;
