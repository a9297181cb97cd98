import { asRoot, param, read, runsAs, shb, type LayoutTemplate, type Service } from "../template.ts";

/**
 * pg_dumpall --clean also drops and creates the role that runs the restore, which the server refuses. These two lines
 * are removed, only before the first database, where there is no data.
 */
const withoutOwnRole = (role: string): string =>
  `sed -E '1,/^\\\\connect /{/^(DROP ROLE IF EXISTS|CREATE ROLE) "?${role}"?;$/d}'`;

const ALL =
  "All databases and roles in one stream, so one restore brings back all of them: for one service, prefer that service's own entry.";
const CLOSED =
  "Stop what uses the server before a restore: a database that somebody is connected to can't be dropped, and then nothing is restored.";
const STRICT = "Self Host Blocks' own commands report success when pg_dumpall or psql failed half-way; these do not.";
const SHELL =
  'Its two commands are shell: the host runs them only with `"hooks": "inline"` in its policy.json, or when root declares the same contract in contracts.d.';

const onHost: LayoutTemplate = {
  params: [runsAs("postgres")],
  database: {
    backupName: "postgres.sql",
    backupCmd: "pg_dumpall --clean --if-exists",
    restoreCmd: `${withoutOwnRole("postgres")} | psql -X -q -v ON_ERROR_STOP=1 -d postgres`,
  },
  probes: [{ units: ["postgresql.service"] }],
  notes: [SHELL, ALL, CLOSED, STRICT],
  facts: [shb("user postgres, postgres.sql, pg_dumpall --clean --if-exists", "blocks/postgresql.nix:63")],
};

export const postgresql: Service = {
  name: "postgresql",
  title: "PostgreSQL",
  description: "All databases of a server, as one dump.",
  layouts: {
    nixos: onHost,
    debian: onHost,
    docker: {
      params: [
        param("container", "container", "the container of PostgreSQL"),
        param("role", "databaseUser", "its superuser: POSTGRES_USER", "postgres"),
        asRoot,
      ],
      database: {
        backupName: "postgres.sql",
        backupCmd: "docker exec ${container} pg_dumpall -U ${databaseUser} --clean --if-exists",
        restoreCmd: `${withoutOwnRole("${databaseUser}")} | docker exec -i \${container} psql -U \${databaseUser} -X -q -v ON_ERROR_STOP=1 -d postgres`,
      },
      probes: [{ images: ["postgres", "postgis/postgis", "pgvector/pgvector"], self: "container" }],
      notes: [SHELL, ALL, CLOSED, STRICT],
      facts: [
        read("POSTGRES_USER is the superuser", "immich-app/immich docker/docker-compose.yml (as an example of many)"),
      ],
    },
  },
};
