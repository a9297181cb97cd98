import { parseArgs } from "node:util";
import { compareWithSystemd } from "./compare.ts";

/** `npm run schedule -- --seed N --count M`: exits 1 when systemd and we differ without a reason. */
const { values } = parseArgs({
  options: { count: { type: "string", default: "2000" }, seed: { type: "string", default: "1" } },
});
const count = Math.min(Number(values.count), 100_000);
const started = performance.now();
const { asked, accepted, instants, explained, differences } = await compareWithSystemd(count, Number(values.seed));
const counts = Object.entries(explained).map(([reason, { length }]) => `${length} ${reason}`);
for (const [reason, each] of Object.entries(explained))
  for (const difference of each) process.stdout.write(`(${reason}) ${difference}\n`);
for (const difference of differences) process.stdout.write(`${difference}\n`);
const seconds = ((performance.now() - started) / 1000).toFixed(1);
process.stdout.write(
  `${asked} expressions, ${accepted} accepted by systemd, ${instants} instants compared, ${differences.length} differences without a reason, with one: ${counts.join(", ")}; ${seconds} s\n`,
);
process.exitCode = differences.length === 0 ? 0 : 1;
