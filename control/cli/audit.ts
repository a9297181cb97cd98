import { parseArgs } from "node:util";
import { AuditEntry } from "../../shared/audit.ts";
import { page } from "../../shared/api.ts";
import { openClient } from "./client.ts";
import { table } from "./table.ts";
import { EXIT, expectPositionals, UsageError, type Verb } from "./terminal.ts";

const SHOWN = 50;

export const audit: Verb = {
  usage: "audit [--by ID] [--object ID] [--since INSTANT] [--limit N] [--json]",
  summary: "show who changed what, the newest change last",
  run: async (args, terminal) => {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        by: { type: "string" },
        object: { type: "string" },
        since: { type: "string" },
        limit: { type: "string" },
        json: { type: "boolean", default: false },
      },
    });
    expectPositionals(positionals, []);
    const { json, limit = String(SHOWN), since, ...ids } = values;
    const from = since === undefined ? undefined : Date.parse(since);
    if (from !== undefined && Number.isNaN(from)) throw new UsageError(`--since '${since}' is no instant or date`);
    const query = new URLSearchParams({ ...ids, limit });
    if (from !== undefined) query.set("since", new Date(from).toISOString());
    const client = await openClient(terminal);
    const { items } = await client.ask(page(AuditEntry), "GET", `/audit?${query}`);
    terminal.out(json ? `${JSON.stringify(items)}\n` : linesOf(items));
    return EXIT.done;
  },
};

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
