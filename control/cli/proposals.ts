import * as z from "zod";
import { Proposal } from "../../shared/catalog.ts";
import { Contract } from "../../shared/contract.ts";
import { Host } from "../../shared/host.ts";
import { EXIT } from "../../shared/node/arguments.ts";
import { parseParams, readId } from "./params.ts";
import { table } from "./table.ts";
import { ExitError } from "./terminal.ts";
import { defineVerb } from "./verb.ts";

export const proposals = defineVerb({
  name: "proposals",
  usage: "proposals [--host HOST] [--dismissed] [--json]",
  summary: "list services detected on hosts that have no contract yet",
  options: { host: { type: "string" }, dismissed: { type: "boolean" }, json: { type: "boolean" } },
  positionals: [],
  run: async ({ values, openClient }) => {
    const client = await openClient();
    const hosts = await client.list(Host, "/hosts");
    const wanted = hosts.find(({ id, name }) => values.host === id || values.host === name);
    if (values.host !== undefined && wanted === undefined) {
      throw new ExitError(EXIT.failed, `there is no host "${values.host}"`);
    }
    const found = await client.list(Proposal, "/proposals", {
      ...(wanted === undefined ? {} : { host: wanted.id }),
      dismissed: String(values.dismissed === true),
    });
    return { json: found, text: listOf(found, hosts) };
  },
});

export const accept = defineVerb({
  name: "accept",
  usage: "accept PROPOSAL [--name CONTRACT] [--param NAME=VALUE…]",
  summary: "create the proposed contract; it is backed up once you bind it to a repository",
  options: { name: { type: "string" }, param: { type: "string", multiple: true, default: [] } },
  positionals: ["PROPOSAL"],
  run: async ({ values, positionals: [proposal], openClient }) => {
    const wish = { params: parseParams(values.param), ...(values.name === undefined ? {} : { name: values.name }) };
    const path = `/proposals/${readId(proposal, "PROPOSAL", "proposals")}/accept`;
    const made = await (await openClient()).ask(Contract, "POST", path, wish);
    return { text: `contract ${made.name}: ${made.id}\n` };
  },
});

export const dismiss = defineVerb({
  name: "dismiss",
  usage: "dismiss PROPOSAL",
  summary: "dismiss a proposal for good",
  options: {},
  positionals: ["PROPOSAL"],
  run: async ({ positionals: [proposal], openClient }) => {
    const client = await openClient();
    await client.ask(z.undefined(), "DELETE", `/proposals/${readId(proposal, "PROPOSAL", "proposals")}`);
    return {};
  },
});

function listOf(found: Proposal[], hosts: Host[]): string {
  const names = new Map(hosts.map(({ id, name }) => [id, name]));
  const rows = found.map(({ id, host, entry, layout, missing, evidence }) => [
    id,
    names.get(host) ?? host,
    entry,
    layout,
    missing.length === 0 ? "-" : missing.join(" "),
    evidence[0] ?? "",
  ]);
  return table([["PROPOSAL", "HOST", "SERVICE", "LAYOUT", "REQUIRED", "FOUND AS"], ...rows]);
}
