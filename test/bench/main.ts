import { benchBackup } from "./backup.ts";
import { benchReport } from "./report.ts";
import { benchSweep } from "./sweep.ts";
import { benchUnchanged } from "./unchanged.ts";

/* npm run bench -- NAME [ARGUMENT…]: measures one part beside its baseline, pairs in turn in the same run. */

const BENCHES: Readonly<Record<string, (args: readonly string[]) => Promise<void>>> = {
  backup: benchBackup,
  report: benchReport,
  sweep: benchSweep,
  unchanged: benchUnchanged,
};

const [name = "", ...args] = process.argv.slice(2);
const bench = BENCHES[name];
if (bench === undefined)
  throw new Error(`there is no bench "${name}": npm run bench -- ${Object.keys(BENCHES).join(" | ")}`);
await bench(args);
