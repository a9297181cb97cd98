import { AuditEntry, AuditVerification } from "../../shared/audit.ts";
import { page } from "../../shared/api.ts";
import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { table } from "./table.ts";
import { defineVerb } from "./verb.ts";

const SHOWN = 50;

export const audit = defineVerb({
  name: "audit",
  usage: "audit [verify] [--by ID] [--object ID] [--since INSTANT] [--limit N] [--json]",
  summary: "show who changed what, the newest change last; verify: check that nobody changed the audit",
  options: {
    by: { type: "string" },
    object: { type: "string" },
    since: { type: "string" },
    limit: { type: "string" },
    json: { type: "boolean" },
  },
  positionals: [],
  takesRest: true,
  run: async ({ values, rest: [action, ...more], openClient }) => {
    if (action !== undefined && (action !== "verify" || more.length > 0))
      throw new UsageError(`unknown command 'audit ${[action, ...more].join(" ")}'`);
    if (action === "verify") return verifyAll(await openClient());
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

/** Asks for one part after the other. */
async function verifyAll(client: Client) {
  let [verified, after]: [number, number | null] = [0, 0];
  for (;;) {
    const part: AuditVerification = await client.ask(AuditVerification, "GET", `/audit/verify?after=${after}`);
    verified += part.verified;
    const { fault, next, to, checkpoints } = part;
    if (fault === null && next !== null) {
      after = next;
      continue;
    }
    const begun = checkpoints.map(({ sequence, reason, at }) =>
      reason === "trimmed"
        ? `entries up to ${sequence} were removed for their age at ${at}\n`
        : `this control plane was restored at ${at}: the audit begins again after entry ${sequence}\n`,
    );
    const verdict =
      fault === null
        ? `${verified} entries are as they were written, the newest is ${to ?? "none"}\n`
        : `the audit was changed: ${fault.message}\n`;
    return {
      json: { verified, to, fault, checkpoints },
      text: `${begun.join("")}${verdict}`,
      status: fault === null ? EXIT.done : EXIT.failed,
    };
  }
}

function linesOf(entries: AuditEntry[]): string {
  const rows = entries
    .toReversed()
    .map(({ at, byName, byKind, method, route, object, status, address }) => [
      at,
      byKind === "host" ? `host ${byName}` : byName,
      `${method} ${route}`,
      object ?? "-",
      String(status),
      address ?? "-",
    ]);
  return table([["AT", "WHO", "WHAT", "OBJECT", "STATUS", "FROM"], ...rows]);
}
