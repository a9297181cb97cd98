import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { dumpServer, loadDump } from "../../agent/consistency/dumps.ts";
import type { CommandContext } from "../../agent/consistency/run-command.ts";
import { openRunLog } from "../../agent/run-log.ts";
import type { Server } from "./servers.ts";
import { HELD, isPrefix, startWriter, type Writer } from "./writers.ts";

export type Kind = "postgres" | "mariadb";

/** What the writer writes to, empty. */
export function makeTables(kind: Kind, server: Server, database: string): void {
  if (kind === "postgres") server.sql("postgres", `CREATE ROLE ${database} LOGIN`);
  const owner = kind === "postgres" ? ` OWNER ${database}` : "";
  server.sql(kind === "postgres" ? "postgres" : "", `CREATE DATABASE ${database}${owner}`);
  const engine = kind === "postgres" ? "" : " ENGINE=InnoDB";
  const as = kind === "postgres" ? `SET ROLE ${database}; ` : "";
  server.sql(database, `${as}CREATE TABLE entries (n integer PRIMARY KEY, text varchar(400) NOT NULL)${engine}`);
  server.sql(database, `${as}CREATE TABLE sums (n integer PRIMARY KEY, total bigint NOT NULL)${engine}`);
}

/** The server's own client, fed with one transaction after the other; it says each number when that is committed. */
export async function startServerWriter(kind: Kind, server: Server, directory: string): Promise<Writer> {
  const client =
    kind === "postgres"
      ? `exec runuser -u postgres -- psql -XAtq -h ${server.socket} -d app`
      : `exec mariadb --no-defaults -NB --unbuffered --socket=${server.socket} app`;
  const start = Number(server.sql("app", "SELECT coalesce(max(n), 0) FROM entries"));
  const begin = kind === "postgres" ? "BEGIN" : "START TRANSACTION";
  const numbers = `n=${start}; while :; do n=$((n+1)); echo "${begin}; INSERT INTO entries VALUES ($n, repeat('x', 300)); INSERT INTO sums VALUES ($n, $n::bigint * ($n + 1) / 2); COMMIT; SELECT $n;"; done`;
  const feed = kind === "postgres" ? numbers : numbers.replace("$n::bigint", "$n");
  const log = join(directory, `${kind}-${start}.log`);
  return await startWriter(["/bin/bash", "-c", `${client} < <(${feed}) >${log}`], log, start);
}

export interface Round {
  readonly isGood: boolean;
  readonly before: number;
  readonly after: number;
  readonly last: number;
}

/** Dumps under load, loads the dump into a database of its own, and looks what is in it; again and again. */
export async function hammeredRounds(
  kind: Kind,
  server: Server,
  { rounds, directory }: { rounds: number; directory: string },
): Promise<Round[]> {
  const doing: CommandContext = {
    run: "01a21264-c0e7-7269-a84b-9fc1588e8b2c",
    log: openRunLog(Date),
    beforeStart: async () => undefined,
  };
  const entry =
    kind === "postgres" ? { postgres: "app", socket: server.socket } : { mariadb: "app", socket: server.socket };
  const dumps = join(directory, "dumps");
  mkdirSync(dumps, { recursive: true });
  const writer = await startServerWriter(kind, server, directory);
  const taken: { before: number; after: number; file: string }[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      const before = writer.committed();
      const [dump] = await dumpServer(doing, { entry, directory: dumps, before: round });
      taken.push({ before, after: writer.committed(), file: dump?.file ?? "" });
    }
  } finally {
    await writer.stop();
  }
  const results: Round[] = [];
  for (const { before, after, file } of taken) {
    await loadDump(doing, { entry, dump: { server: kind, database: "app", file }, file: join(dumps, file) });
    const [count = 0, last = 0, rightSums = 0] = server.sql("app", HELD).split(/[|\t]/).map(Number);
    results.push({ isGood: isPrefix({ count, last, rightSums }, before, after), before, after, last });
  }
  return results;
}
