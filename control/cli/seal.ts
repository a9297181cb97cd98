import { Binding } from "../../shared/binding.ts";
import { Host } from "../../shared/host.ts";
import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import { Repository } from "../../shared/repository.ts";
import { Recipient } from "../../shared/sealed.ts";
import { SealedName, SealedSecret, SecretPlace, sealSecret } from "../../shared/sealed-secret.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { readSecret } from "./read-secret.ts";
import { ExitError } from "./terminal.ts";
import { defineVerb } from "./verb.ts";

/** Prints only the value for the API on stdout: `{"sealed":"…"}`. The secret leaves this process in no other form. */
export const seal = defineVerb({
  name: "seal",
  usage: "seal (--repository R | --provider P --location L) [--name passphrase|AWS_…] [--host H…] [--recipient age1…]",
  summary: "seal a repository's passphrase or credential, read from stdin, so that only its hosts can open it",
  options: {
    repository: { type: "string" },
    provider: { type: "string" },
    location: { type: "string" },
    name: { type: "string", default: "passphrase" },
    host: { type: "string", multiple: true, default: [] },
    recipient: { type: "string", multiple: true, default: [] },
  },
  positionals: [],
  run: async ({ values, terminal, openClient }) => {
    const name = SealedName.safeParse(values.name);
    if (!name.success)
      throw new UsageError(
        `--name '${values.name}' is neither passphrase nor a variable that a secret can be put into`,
      );
    const recipients = values.recipient.map(asRecipient);
    const repository =
      values.repository === undefined ? null : await findRepository(await openClient(), values.repository);
    const isBoth = repository !== null && (values.provider ?? values.location) !== undefined;
    const { provider: tool, location: where } = repository ?? values;
    const place = SecretPlace.safeParse({ provider: tool, location: where });
    if (!place.success || isBoth) throw new UsageError("give --repository, or --provider and --location");
    const { provider, location } = place.data;
    const names = values.host.length > 0 || recipients.length > 0 ? values.host : null;
    const hosts =
      names?.length === 0 ? [] : await recipientsOf(await openClient(), { names, repository: repository?.id ?? null });
    const sealedTo = [...hosts, ...recipients.map((recipient) => ({ name: "--recipient", recipient }))];
    const value = SealedSecret.shape.value.safeParse(await readSecret(`${name.data} for ${location}`));
    if (!value.success) throw new ExitError(EXIT.failed, `the secret ${value.error.issues[0]?.message}`);
    const secret = { for: { provider, location }, name: name.data, value: value.data };
    const sealed = await sealSecret(
      sealedTo.map(({ recipient }) => recipient),
      secret,
    );
    for (const one of sealedTo) terminal.err(`sealed to ${one.name}: ${one.recipient}\n`);
    terminal.err(
      "`holdfast-agent status` on each host shows its recipient: compare. A host that comes later can't open this; seal it again then.\n",
    );
    return { text: `${JSON.stringify({ sealed })}\n` };
  },
});

async function findRepository(client: Client, wanted: string): Promise<Repository> {
  const found = (await client.list(Repository, "/repositories")).find(
    ({ id, name }) => id === wanted || name === wanted,
  );
  if (found === undefined) throw new ExitError(EXIT.failed, `there is no repository '${wanted}'`);
  return found;
}

/** @param wanted `names` null: the hosts that use the repository */
async function recipientsOf(
  client: Client,
  { names, repository }: { names: readonly string[] | null; repository: string | null },
): Promise<{ name: string; recipient: string }[]> {
  const hosts = await client.list(Host, "/hosts");
  const bound =
    repository === null ? [] : (await client.list(Binding, "/bindings", { repository })).map(({ host }) => host);
  const wanted = names ?? [...new Set(bound)];
  if (wanted.length === 0) throw new UsageError("no host uses it yet: say with --host who will");
  return wanted.map((one) => {
    const host = hosts.find(({ id, name }) => id === one || name === one);
    if (host === undefined) throw new ExitError(EXIT.failed, `there is no host '${one}'`);
    const recipient = host.facts?.recipient ?? null;
    if (recipient !== null) return { name: host.name, recipient };
    throw new ExitError(
      EXIT.tryLater,
      `host "${host.name}" has not told its recipient: its agent must be 0.2 or newer`,
    );
  });
}

function asRecipient(text: string): string {
  const recipient = Recipient.safeParse(text);
  if (!recipient.success) throw new UsageError(`--recipient ${recipient.error.issues[0]?.message}`);
  return recipient.data;
}
