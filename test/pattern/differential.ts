import { join } from "node:path";
import { parseArgs } from "node:util";
import { comparePatterns } from "./compare.ts";
import { everyTool } from "./tools.ts";

/** `npm run patterns -- --count 5000 --seed 1`: exits 1 when the tools, or we, differ about a pattern. */
const { values } = parseArgs({
  options: { count: { type: "string", default: "5000" }, seed: { type: "string", default: "1" } },
});
process.env["HOLDFAST_TEST_ENGINES"] ??= join(import.meta.dirname, "../../node_modules/.cache/engines");
const begun = performance.now();
const tools = everyTool();
const compared = await comparePatterns(tools, { count: Number(values.count), seed: Number(values.seed) });
const { patterns, conclusive, files, differences } = compared;
const seconds = ((performance.now() - begun) / 1000).toFixed(1);
for (const difference of differences) process.stdout.write(`${difference}\n`);
process.stdout.write(
  `${tools.map(({ name }) => name).join(", ")}: ${patterns} patterns on ${files} files, ${conclusive} of them left out a part, ${differences.length} differences, ${seconds} s\n`,
);
process.exitCode = differences.length === 0 ? 0 : 1;
