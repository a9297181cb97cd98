import * as z from "zod";
import { AbsolutePath } from "./ids.ts";
import { ContainerName, ServiceName, UserName } from "./unix.ts";

/** A database's name on its server, or `*` for all databases of the server. */
const DatabaseName = z
  .string()
  .regex(/^(\*|[A-Za-z0-9_][A-Za-z0-9_.$-]{0,62})$/, "must be a database's name, or * for all of them");

/** Where a database's server is. Without any of these, the defaults of the server's own tools. */
const server = {
  user: UserName.optional().describe("Unix user that runs the dump; default: postgres, for MariaDB root"),
  role: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/, "must be the name of a database user")
    .optional()
    .describe("database user to connect as; default: the server's choice for the Unix user"),
  socket: AbsolutePath.optional().describe("PostgreSQL: the directory of its socket; MariaDB: the socket itself"),
  port: z.int().min(1).max(65_535).optional(),
  container: ContainerName.optional().describe("a running container whose tools make the dump"),
};

/**
 * One step that makes a backup consistent. In the given order: first services are stopped and paused, then databases
 * are dumped and copied. Stopped services are started again, whatever happens.
 */
export const Consistency = z.union(
  [
    z.strictObject({
      sqlite: AbsolutePath.describe("copied with SQLite's own backup; the live file itself is left out"),
    }),
    z.strictObject({ postgres: DatabaseName.describe("dumped with pg_dump, with pg_dumpall for *"), ...server }),
    z.strictObject({ mariadb: DatabaseName.describe("dumped with mariadb-dump in one transaction"), ...server }),
    z.strictObject({ stop: ServiceName.describe("a systemd unit to stop during the backup") }),
    z.strictObject({ pause: ContainerName.describe("a container to pause during the backup") }),
  ],
  { error: "must be one of {sqlite: path}, {postgres: name}, {mariadb: name}, {stop: unit}, {pause: container}" },
);
export type Consistency = z.infer<typeof Consistency>;

/** The user that runs a server's tools on the host. */
export function serverUser(entry: Extract<Consistency, { postgres: string } | { mariadb: string }>): string {
  return entry.user ?? ("postgres" in entry ? "postgres" : "root");
}
