import { AuditEntry } from "../../shared/audit.ts";
import { page } from "../../shared/api.ts";
import { UsageError } from "../../shared/node/arguments.ts";
import { table } from "./table.ts";
import { defineVerb } from "./verb.ts";

const SHOWN = 50;

export const audit = defineVerb({
  name: "audit",
  usage: "audit [--by ID] [--object ID] [--since INSTANT] [--limit N] [--json]",
  summary: "show who changed what, the newest change last",
  options: {
    by: { type: "string" },
    object: { type: "string" },
    since: { type: "string" },
    limit: { type: "string" },
    json: { type: "boolean" },
  },
  positionals: [],
  run: async ({ values, openClient }) => {
    const { json: _json, limit = String(SHOWN), since, ...ids } = values;
    const from = since === undefined ? undefined : Date.parse(since);
    if (from !== undefined && Number.isNaN(from)) throw new UsageError(`--since '${since}' is not a date or time`);
    const query = new URLSearchParams({ ...ids, limit });
    if (from !== undefined) query.set("since", new Date(from).toISOString());
    const client = await openClient();
    const { items } = await client.ask(page(AuditEntry), "GET", `/audit?${query}`);
    return { json: items, text: linesOf(items) };
  },
});

function linesOf(entries: AuditEntry[]): string {
  const rows = entries
    .toReversed()
    .map(({ at, byName, byKind, method, route, object, status }) => [
      at,
      byKind === "host" ? `host ${byName}` : byName,
      `${method} ${route}`,
      object ?? "-",
      String(status),
    ]);
  return table([["AT", "WHO", "WHAT", "OBJECT", "STATUS"], ...rows]);
}
