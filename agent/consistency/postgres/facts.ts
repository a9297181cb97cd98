import * as z from "zod";
import { runError } from "../../run-error.ts";
import type { CommandContext } from "../run-command.ts";
import type { PostgresEntry } from "../servers.ts";
import { literal, runSql } from "./sql.ts";

const Role = z.object({
  name: z.string(),
  /** It is a superuser, may become one, or may do more than use databases. */
  isPrivileged: z.boolean(),
  isElsewhere: z.boolean().describe("it owns something outside the database in question"),
  isLeftover: z.boolean().describe("the agent made it for a load that was cut off"),
});

const ServerFacts = z.object({
  isSuperuser: z.boolean().describe("the contract's role is one"),
  databases: z.array(z.object({ name: z.string(), owner: z.string() })),
  roles: z.array(Role),
});
export type ServerFacts = z.infer<typeof ServerFacts>;

/** Marks the roles that the agent makes for one load. */
export const LOADER_COMMENT = "holdfast: loads a dump; not needed afterwards";

/** Roles of PostgreSQL's own that give nothing beyond a database. */
const HARMLESS =
  "('pg_database_owner', 'pg_monitor', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_stat_scan_tables')";

function factsQuery(database: string): string {
  const strong = "(s.rolsuper OR s.rolcreaterole OR s.rolreplication OR s.rolbypassrls)";
  return `SELECT json_build_object(
    'isSuperuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
    'databases', (SELECT json_agg(json_build_object('name', datname, 'owner', pg_get_userbyid(datdba))) FROM pg_database),
    'roles', (SELECT json_agg(json_build_object(
      'name', r.rolname,
      'isPrivileged', r.rolname LIKE 'pg\\_%' OR EXISTS (SELECT FROM pg_roles s WHERE pg_has_role(r.oid, s.oid, 'MEMBER')
        AND (${strong} OR s.rolname LIKE 'pg\\_%' AND s.rolname NOT IN ${HARMLESS})),
      'isElsewhere', EXISTS (SELECT FROM pg_database d WHERE d.datdba = r.oid AND d.datname <> ${literal(database)})
        OR EXISTS (SELECT FROM pg_shdepend o WHERE o.refclassid = 'pg_authid'::regclass AND o.refobjid = r.oid
          AND o.deptype = 'o' AND o.dbid <> 0
          AND o.dbid IS DISTINCT FROM (SELECT d.oid FROM pg_database d WHERE d.datname = ${literal(database)})),
      'isLeftover', shobj_description(r.oid, 'pg_authid') IS NOT DISTINCT FROM ${literal(LOADER_COMMENT)}
        AND r.rolvaliduntil < now() AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.usesysid = r.oid)
    )) FROM pg_roles r)
  );`;
}

/** Who is who on the server, as seen from one of its databases, which need not exist. */
export async function readServerFacts(
  context: CommandContext,
  { entry, database }: { entry: PostgresEntry; database: string },
): Promise<ServerFacts> {
  const what = "asking PostgreSQL for its roles and databases";
  return parsed(ServerFacts, await runSql(context, { entry, database: "postgres", what, sql: factsQuery(database) }));
}

const Owned = z.object({ type: z.string(), identity: z.string(), owner: z.string() });
export type Owned = z.infer<typeof Owned>;
const DatabaseFacts = z.object({ extensions: z.array(z.string()), objects: z.array(Owned) });
export type DatabaseFacts = z.infer<typeof DatabaseFacts>;

/** [catalogue, its columns of oid and owner, what belongs to something else] */
const CATALOGUES: readonly [string, string, string?][] = [
  ["pg_namespace", "nspowner", "c.nspname NOT LIKE 'pg\\_%' AND c.nspname <> 'information_schema'"],
  [
    "pg_class",
    "relowner",
    "c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid AND o.deptype IN ('a', 'i') AND o.refclassid = 'pg_class'::regclass AND o.refobjsubid > 0)",
  ],
  ["pg_proc", "proowner"],
  [
    "pg_type",
    "typowner",
    "c.typelem = 0 AND (c.typrelid = 0 OR EXISTS (SELECT FROM pg_class t WHERE t.oid = c.typrelid AND t.relkind = 'c')) AND c.typtype <> 'm'",
  ],
  ["pg_operator", "oprowner"],
  ["pg_opclass", "opcowner"],
  ["pg_opfamily", "opfowner"],
  ["pg_collation", "collowner"],
  ["pg_conversion", "conowner"],
  ["pg_statistic_ext", "stxowner"],
  ["pg_ts_dict", "dictowner"],
  ["pg_ts_config", "cfgowner"],
  ["pg_foreign_server", "srvowner"],
  ["pg_publication", "pubowner"],
  ["pg_largeobject_metadata", "lomowner"],
];

/** All that somebody owns in the database, but what PostgreSQL itself and its extensions have brought. */
const OBJECTS = `SELECT o.type, o.identity, pg_get_userbyid(a.owner) AS owner FROM (
  ${CATALOGUES.map(
    ([catalogue, owner, where = "true"]) =>
      `SELECT '${catalogue === "pg_largeobject_metadata" ? "pg_largeobject" : catalogue}'::regclass::oid AS class, c.oid, c.${owner} AS owner FROM ${catalogue} c WHERE ${where}`,
  ).join(" UNION ALL ")}
  ) a, pg_identify_object(a.class, a.oid, 0) o
  WHERE (a.oid >= 16384 OR o.type IN ('schema', 'large object')) AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = a.class AND d.objid = a.oid AND d.deptype IN ('e', 'i'))
    AND coalesce(o.schema, '') NOT IN ('pg_catalog', 'information_schema', 'pg_toast')`;

export async function readDatabaseFacts(
  context: CommandContext,
  { entry, database }: { entry: PostgresEntry; database: string },
): Promise<DatabaseFacts> {
  const sql = `SELECT json_build_object(
    'extensions', (SELECT coalesce(json_agg(extname), '[]') FROM pg_extension),
    'objects', (SELECT coalesce(json_agg(row_to_json(x)), '[]') FROM (${OBJECTS}) x));`;
  const what = `asking who owns what in "${database}"`;
  return parsed(DatabaseFacts, await runSql(context, { entry, database, what, sql }));
}

/**
 * SQL that gives everything that `from` owns in this database to another role, by the catalogue's own names for it.
 * @param owners gives each object to the role that it belonged to; null: to `to`
 */
export function giveAwaySql(from: string | readonly string[], to: string | readonly Owned[]): string {
  const froms = [from].flat().map(literal).join(", ");
  const target =
    typeof to === "string"
      ? literal(to)
      : `(SELECT b.owner FROM json_to_recordset(${literal(JSON.stringify(to))}) AS b(type text, identity text, owner text) WHERE b.type = x.type AND b.identity = x.identity LIMIT 1)`;
  return `DO $holdfast$ DECLARE y record; BEGIN
    FOR y IN SELECT x.type, x.identity, ${target} AS target FROM (${OBJECTS}) x WHERE x.owner IN (${froms}) LOOP
      CONTINUE WHEN y.target IS NULL;
      EXECUTE format('ALTER %s %s OWNER TO %I', replace(y.type, 'statistics object', 'statistics'), y.identity, y.target);
    END LOOP;
  END $holdfast$;`;
}

function parsed<T>(schema: z.ZodType<T>, lines: readonly string[]): T {
  try {
    return schema.parse(JSON.parse(lines.join("\n")));
  } catch {
    throw runError("database.failed", "PostgreSQL's answer about its roles can't be read");
  }
}
