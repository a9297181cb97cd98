import { join } from "node:path";
import { openEngineHost } from "../engine/engine-host.ts";
import type { FoundEngine } from "../support/engines.ts";
import { heldBySqlite, isPrefix, startSqliteWriter } from "./writers.ts";

/**
 * Whole backups of a contract with a SQLite database while a writer hammers it; then every snapshot is restored, and looked
 * at. @returns for each, whether the database was sound and held a prefix of what was committed
 */
export async function wholeRounds(engine: FoundEngine, rounds: number): Promise<boolean[]> {
  const host = await openEngineHost(engine);
  try {
    const live = join(host.root, "data/app.db");
    await host.write("data/plain", "beside it");
    const work = host.work({ contract: { consistency: [{ sqlite: live }] } });
    const taken: { snapshot: string | null; before: number; after: number }[] = [];
    const writer = await startSqliteWriter(live, join(host.root, "log"));
    try {
      for (let round = 0; round < rounds; round++) {
        const before = writer.committed();
        const { snapshot, state } = await host.backup(work);
        taken.push({ snapshot: state === "succeeded" ? snapshot : null, before, after: writer.committed() });
      }
    } finally {
      await writer.stop();
    }
    const results: boolean[] = [];
    for (const [round, { snapshot, before, after }] of taken.entries()) {
      const target = join(host.root, `restored-${round}`);
      const restored = snapshot === null ? null : await host.restore(work, { snapshot, target });
      const { held, integrity } = restored?.state === "succeeded" ? heldBySqlite(join(target, live)) : NOTHING;
      results.push(integrity === "ok" && held !== null && isPrefix(held, before, after));
    }
    return results;
  } finally {
    await host.close();
  }
}

const NOTHING = { held: null, integrity: "not restored" };
