import { parseArgs } from "node:util";
import * as z from "zod";
import { Proposal } from "../../shared/catalog.ts";
import { Contract } from "../../shared/contract.ts";
import { Host } from "../../shared/host.ts";
import { Id } from "../../shared/ids.ts";
import { openClient } from "./client.ts";
import { parseParams } from "./params.ts";
import { table } from "./table.ts";
import { EXIT, expectPositionals, ExitError, UsageError, type Verb } from "./terminal.ts";

export const proposals: Verb = {
  usage: "proposals [--host HOST] [--dismissed] [--json]",
  summary: "show the services that hosts were found to have, and that have no contract yet",
  run: async (args, terminal) => {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { host: { type: "string" }, dismissed: { type: "boolean" }, json: { type: "boolean" } },
    });
    expectPositionals(positionals, []);
    const client = await openClient(terminal);
    const hosts = await client.list(Host, "/hosts");
    const wanted = hosts.find(({ id, name }) => values.host === id || values.host === name);
    if (values.host !== undefined && wanted === undefined) {
      throw new ExitError(EXIT.failed, `there is no host "${values.host}"`);
    }
    const found = await client.list(Proposal, "/proposals", {
      ...(wanted === undefined ? {} : { host: wanted.id }),
      dismissed: String(values.dismissed === true),
    });
    terminal.out(values.json === true ? `${JSON.stringify(found)}\n` : listOf(found, hosts));
    return EXIT.done;
  },
};

export const accept: Verb = {
  usage: "accept PROPOSAL [--name CONTRACT] [--param NAME=VALUE…]",
  summary: "declare the contract that is proposed; it is backed up once you bind it to a repository",
  run: async (args, terminal) => {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { name: { type: "string" }, param: { type: "string", multiple: true, default: [] } },
    });
    const [proposal] = expectPositionals(positionals, ["PROPOSAL"]);
    const wish = { params: parseParams(values.param), ...(values.name === undefined ? {} : { name: values.name }) };
    const path = `/proposals/${readId(proposal)}/accept`;
    const made = await (await openClient(terminal)).ask(Contract, "POST", path, wish);
    terminal.out(`contract ${made.name}: ${made.id}\n`);
    return EXIT.done;
  },
};

export const dismiss: Verb = {
  usage: "dismiss PROPOSAL",
  summary: "do not propose it again",
  run: async (args, terminal) => {
    const [proposal] = expectPositionals(parseArgs({ args, allowPositionals: true }).positionals, ["PROPOSAL"]);
    const client = await openClient(terminal);
    await client.ask(z.undefined(), "DELETE", `/proposals/${readId(proposal)}`);
    return EXIT.done;
  },
};

function readId(word: string): Id {
  const id = Id.safeParse(word);
  if (!id.success) throw new UsageError(`PROPOSAL ${word}: write the id that 'holdfast proposals' shows`);
  return id.data;
}

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
  return table([["PROPOSAL", "HOST", "SERVICE", "LAYOUT", "TO BE GIVEN", "FOUND AS"], ...rows]);
}
