import { Host, type HostInstances } from "../../shared/host.ts";
import { UsageError } from "../../shared/node/arguments.ts";
import { minute, printable, table } from "./table.ts";
import { defineVerb } from "./verb.ts";

export const instances = defineVerb({
  name: "instances",
  usage: "instances HOST [--accept INSTANCE] [--json]",
  summary: "show which machines use a host's key; --accept: which of two is the host",
  options: { accept: { type: "string" }, json: { type: "boolean" } },
  positionals: ["HOST"],
  run: async ({ values, positionals: [word], openClient }) => {
    const client = await openClient();
    const found = (await client.list(Host, "/hosts")).find(({ id, name }) => word === id || word === name);
    if (found === undefined) throw new UsageError(`there is no host ${word}`);
    const host =
      values.accept === undefined
        ? found
        : await client.ask(Host, "PATCH", `/hosts/${found.id}`, { accept: values.accept });
    return {
      json: host.instances,
      text: host.instances === null ? `${host.name} names none\n` : listOf(host.instances),
    };
  },
});

function listOf({ current, rival, contestedAt }: HostInstances): string {
  const rows = [current, ...(rival === null ? [] : [rival])].map(({ id, since, seenAt, address }) => [
    id === "" ? "-" : printable(id),
    minute(since),
    minute(seenAt),
    address ?? "-",
  ]);
  const next =
    contestedAt === null
      ? ""
      : "\nTwo machines use its key: say which is the host with --accept, and enrol the other again.\n";
  return `${table([["INSTANCE", "SINCE", "SEEN", "FROM"], ...rows])}${next}`;
}
