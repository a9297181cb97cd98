import { join } from "node:path";
import { parseArgs } from "node:util";
import { newestRestic } from "../support/restic.ts";
import { compareRetention } from "./compare.ts";

/**
 * `npm run retention -- --snapshots 150 --policies 300 --seed 1`: exits 1 when restic and we differ about a snapshot.
 */
const number = { type: "string" } as const;
const { values } = parseArgs({ options: { snapshots: number, policies: number, seed: number } });
process.env["HOLDFAST_TEST_ENGINES"] ??= join(import.meta.dirname, "../../node_modules/.cache/engines");
const { path, version } = newestRestic();
const { decisions, removed, differences } = await compareRetention(path, {
  snapshots: Number(values.snapshots ?? 150),
  policies: Number(values.policies ?? 300),
  seed: Number(values.seed ?? 1),
});
for (const difference of differences) process.stdout.write(`${difference}\n`);
process.stdout.write(
  `restic ${version}: ${decisions} decisions, ${removed} of them to remove, ${differences.length} differences\n`,
);
process.exitCode = differences.length === 0 ? 0 : 1;
