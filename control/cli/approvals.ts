import { Approval } from "../../shared/approval.ts";
import { Host } from "../../shared/host.ts";
import { UsageError } from "../../shared/node/arguments.ts";
import { minute, printable, table } from "./table.ts";
import { defineVerb } from "./verb.ts";

export const approvals = defineVerb({
  name: "approvals",
  usage: "approvals [--host HOST] [--json]",
  summary: "list what waits for root on a host, with the command that approves it there",
  options: { host: { type: "string" }, json: { type: "boolean" } },
  positionals: [],
  run: async ({ values, openClient }) => {
    const client = await openClient();
    const host = values.host;
    const named =
      host === undefined
        ? undefined
        : (await client.list(Host, "/hosts")).find((one) => [one.id, one.name].includes(host));
    if (host !== undefined && named === undefined) throw new UsageError(`there is no host ${host}`);
    const found = await client.list(Approval, "/approvals", named === undefined ? {} : { host: named.id });
    return { json: found, text: found.length === 0 ? "nothing waits for root\n" : listOf(found) };
  },
});

function listOf(found: Approval[]): string {
  const rows = found.map(({ hostName, since, kind, summary, command }) => [
    hostName,
    minute(since),
    kind,
    command,
    printable(summary),
  ]);
  return table([["HOST", "SINCE", "KIND", "AS ROOT ON THE HOST", "WHAT"], ...rows]);
}
