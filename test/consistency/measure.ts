import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { copySqlite } from "../../agent/consistency/sqlite-copy.ts";
import { hammeredRounds, makeTables } from "./rounds.ts";
import { type FoundEngine, oldestAndNewest } from "../support/engines.ts";
import shareEngines from "../support/engines.setup.ts";
import { newestRestic } from "../support/restic.ts";
import { startMariadb, startPostgres } from "./servers.ts";
import { wholeRounds, wholeServerRounds } from "./whole.ts";
import { heldBySqlite, isPrefix, startSqliteWriter } from "./writers.ts";

// npm run consistency -- --rounds N: copies, dumps, and whole backups and restores under load, N times each; says how
// many held a sound prefix.
const { values } = parseArgs({ options: { rounds: { type: "string", default: "50" } } });
const rounds = Number(values.rounds);
const directory = mkdtempSync(join(tmpdir(), "holdfast-consistency-"));
const takeEnginesBack = await shareEngines();
const engines = [newestRestic(), oldestAndNewest("borg")[0]];
let bad = 0;
try {
  await report("sqlite, copied", sqliteRounds);
  for (const engine of engines) await report(`sqlite, ${wholly(engine)}`, () => wholeRounds(engine, rounds));
  for (const [kind, start] of [
    ["postgres", startPostgres],
    ["mariadb", startMariadb],
  ] as const) {
    const server = await start();
    try {
      makeTables(kind, server, "app");
      await report(`${kind}, dumped`, async () =>
        (await hammeredRounds(kind, server, { rounds, directory })).map(({ isGood }) => isGood),
      );
      for (const engine of engines) {
        await report(`${kind}, ${wholly(engine)}`, () => wholeServerRounds(engine, { kind, server, rounds }));
      }
    } finally {
      await server.stop();
    }
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
  await takeEnginesBack();
}
process.exitCode = bad === 0 ? 0 : 1;

function wholly({ provider, version }: FoundEngine): string {
  return `backed up and restored with ${provider} ${version}`;
}

async function report(what: string, run: () => Promise<boolean[]>): Promise<void> {
  const begun = performance.now();
  const results = await run();
  const good = results.filter((isGood) => isGood).length;
  bad += results.length - good;
  process.stdout.write(`${what}: ${good} of ${results.length} good, ${Math.round(performance.now() - begun)} ms\n`);
}

async function sqliteRounds(): Promise<boolean[]> {
  const live = join(directory, "live.db");
  const writer = await startSqliteWriter(live, join(directory, "log"));
  const results: boolean[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      const copy = join(directory, "copy.db");
      const before = writer.committed();
      await copySqlite(live, copy);
      const { held, integrity } = heldBySqlite(copy);
      results.push(integrity === "ok" && isPrefix(held, before, writer.committed()));
      rmSync(copy);
    }
  } finally {
    await writer.stop();
  }
  return results;
}
