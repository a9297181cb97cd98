import { join } from "node:path";
import type { Consistency } from "../../shared/consistency.ts";
import { type EngineHost, openEngineHost, type Work } from "../engine/engine-host.ts";
import type { FoundEngine } from "../support/engines.ts";
import { type Kind, startServerWriter } from "./rounds.ts";
import type { Server } from "./servers.ts";
import { HELD, heldBySqlite, isPrefix, startSqliteWriter, type Writer } from "./writers.ts";

interface Taken {
  /** Null when the backup did not end well. */
  readonly snapshot: string | null;
  readonly before: number;
  readonly after: number;
}

/**
 * Whole backups of a contract with a SQLite database while a writer hammers it; then every snapshot is restored, and
 * looked at. @returns for each, whether the database was sound and held a prefix of what was committed
 */
export async function wholeRounds(engine: FoundEngine, rounds: number): Promise<boolean[]> {
  const host = await openEngineHost(engine);
  try {
    const live = join(host.root, "data/app.db");
    const work = await workWith(host, { sqlite: live });
    const taken = await backUpUnder(await startSqliteWriter(live, join(host.root, "log")), { host, work, rounds });
    const results: boolean[] = [];
    for (const [round, { snapshot, before, after }] of taken.entries()) {
      const target = join(host.root, `restored-${round}`);
      if (!(await isRestored(host, work, { snapshot, target }))) results.push(false);
      else {
        const { held, integrity } = heldBySqlite(join(target, live));
        results.push(integrity === "ok" && isPrefix(held, before, after));
      }
    }
    return results;
  } finally {
    await host.close();
  }
}

/** The same with a server's database, restored where it was. */
export async function wholeServerRounds(
  engine: FoundEngine,
  { kind, server, rounds }: { kind: Kind; server: Server; rounds: number },
): Promise<boolean[]> {
  const host = await openEngineHost(engine);
  try {
    const { socket } = server;
    const work = await workWith(host, kind === "postgres" ? { postgres: "app", socket } : { mariadb: "app", socket });
    const taken = await backUpUnder(await startServerWriter(kind, server, host.root), { host, work, rounds });
    const results: boolean[] = [];
    for (const { snapshot, before, after } of taken) {
      const isThere = await isRestored(host, work, { snapshot, target: null });
      const [count = 0, last = 0, rightSums = 0] = server.sql("app", HELD).split(/[|\t]/).map(Number);
      results.push(isThere && isPrefix({ count, last, rightSums }, before, after));
    }
    return results;
  } finally {
    await host.close();
  }
}

async function workWith(host: EngineHost, entry: Consistency): Promise<Work> {
  await host.write("data/plain", "beside it");
  return host.work({ contract: { consistency: [entry] } });
}

async function backUpUnder(
  writer: Writer,
  { host, work, rounds }: { host: EngineHost; work: Work; rounds: number },
): Promise<Taken[]> {
  const taken: Taken[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      const before = writer.committed();
      const { snapshot, state } = await host.backup(work);
      taken.push({ snapshot: state === "succeeded" ? snapshot : null, before, after: writer.committed() });
    }
  } finally {
    await writer.stop();
  }
  return taken;
}

async function isRestored(
  host: EngineHost,
  work: Work,
  { snapshot, target }: { snapshot: string | null; target: string | null },
): Promise<boolean> {
  return snapshot !== null && (await host.restore(work, { snapshot, target })).state === "succeeded";
}
