import { readFile, writeFile } from "node:fs/promises";
import { newAgeKey, recipientOf, unseal } from "../../shared/age.ts";
import { messageOf } from "../../shared/error-message.ts";
import { Recovery, RepositoryAccess, StoredEscrows } from "../../shared/escrow.ts";
import { parseJson } from "../../shared/json.ts";
import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import { entryLines, readKit, type RecoveryKit, writeKit } from "../../shared/node/recovery-kit.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { recoveryPage } from "./recovery-page.ts";
import { ExitError, type Terminal } from "./terminal.ts";
import { defineVerb } from "./verb.ts";

/**
 * Makes, prints and proves the recovery kit. Its key is made here and printed, and stored nowhere else: the control
 * plane gets its recipient only.
 */
export const recovery = defineVerb({
  name: "recovery",
  usage: "recovery [new|print KITFILE|verify KITFILE] [--html FILE]",
  summary: "make the kit that opens every repository without control plane and hosts; print it whole; prove it",
  options: { html: { type: "string" } },
  positionals: [],
  takesRest: true,
  run: async ({ values, rest, terminal, openClient }) => {
    const [action = "new", file, ...more] = rest;
    if (!["new", "print", "verify"].includes(action) || more.length > 0 || (action === "new") !== (file === undefined))
      throw new UsageError("give new, print KITFILE or verify KITFILE");
    const client = await openClient();
    if (file === undefined) return await make(client, terminal, { html: values.html, isNew: rest.length > 0 });
    const kit = readKit(await readText(file));
    return action === "print"
      ? await print(client, terminal, { key: kit.key, html: values.html })
      : await verify(client, terminal, kit);
  },
});

async function make(client: Client, terminal: Terminal, { html, isNew }: { html: string | undefined; isNew: boolean }) {
  const before = await client.ask(Recovery, "GET", "/recovery");
  if (before.recipient !== null && !isNew) {
    throw new ExitError(
      EXIT.failed,
      `there is a recovery kit already (${before.recipient}): 'holdfast recovery print KITFILE' prints it with everything that came since, 'holdfast recovery new' makes another`,
    );
  }
  const key = await newAgeKey();
  const recipient = await recipientOf(key);
  // What is printed first can be lost; what the hosts seal to must not be.
  const text = await output(client, { key, repositories: [] }, html);
  terminal.out(text);
  const { missing } = await client.ask(Recovery, "PUT", "/recovery", { recipient });
  terminal.err(`This is its key alone. On each host, as root, let it seal what opens its repositories to this kit:
  holdfast-agent recovery --grant ${recipient}
Then print the whole kit: holdfast recovery print KITFILE, KITFILE being what was printed now.
`);
  for (const { repository, hosts } of missing) terminal.err(`not in it yet: ${repository} (${hosts.join(", ")})\n`);
  if (before.recipient !== null)
    terminal.err("Keep the kit before until this one holds everything: hosts seal to it until root grants this one.\n");
  return {};
}

async function print(client: Client, terminal: Terminal, { key, html }: { key: string; html: string | undefined }) {
  const { repositories, problems } = await openEscrows(client, key);
  terminal.out(await output(client, { key, repositories }, html));
  for (const problem of problems) terminal.err(`${problem}\n`);
  if (problems.length > 0) return { status: EXIT.warned };
  await client.ask(Recovery, "PUT", "/recovery", { recipient: await recipientOf(key), printed: true });
  return {};
}

async function verify(client: Client, terminal: Terminal, kit: RecoveryKit) {
  const { repositories, problems } = await openEscrows(client, kit.key);
  for (const access of repositories) {
    const printed = kit.repositories.find(
      ({ engineId, location }) => engineId === access.engineId && location === access.location,
    );
    const isSame = printed !== undefined && entryLines(printed).join("\n") === entryLines(access).join("\n");
    if (!isSame)
      problems.push(
        `${access.name}: ${printed === undefined ? "not in this kit" : "changed since this kit was printed"}: print it again`,
      );
  }
  for (const problem of problems) terminal.err(`${problem}\n`);
  if (problems.length > 0) return { status: EXIT.failed };
  return {
    text: `${repositories.length} repositories: the kit holds what their hosts sealed last. Where they can be reached, this opens them: holdfast-agent recover --kit KITFILE --check\n`,
  };
}

/** Opens what the hosts sealed. @returns `problems`: what this key does not open, in sentences */
async function openEscrows(
  client: Client,
  key: string,
): Promise<{ repositories: RepositoryAccess[]; problems: string[] }> {
  const recipient = await recipientOf(key);
  const [state, { escrows }] = await Promise.all([
    client.ask(Recovery, "GET", "/recovery"),
    client.ask(StoredEscrows, "GET", "/recovery/escrows"),
  ]);
  if (state.recipient !== recipient) {
    throw new ExitError(
      EXIT.failed,
      `this kit's recipient is ${recipient}, the one in use is ${state.recipient ?? "none"}`,
    );
  }
  const problems = state.missing.map(
    ({ repository, hosts }) =>
      `${repository}: not sealed to this kit yet: holdfast-agent recovery --grant ${recipient}, as root on ${hosts.join(" or ")}; then its next backup`,
  );
  const found = new Map<string, RepositoryAccess>();
  for (const escrow of escrows.filter((one) => one.recipient === recipient)) {
    const text = await unseal(key, escrow.sealed);
    const access = RepositoryAccess.safeParse(text === null ? null : parseJson(text));
    if (access.success) found.set(`${access.data.engineId} ${access.data.location}`, access.data);
    else
      problems.push(
        `what host ${escrow.host} sealed of repository ${escrow.repository} can't be opened with this kit's key`,
      );
  }
  const repositories = [...found.values()].toSorted((one, other) => (one.name < other.name ? -1 : 1));
  return { repositories, problems };
}

/** @returns the kit as text; the page for printing goes to its file */
async function output(client: Client, kit: RecoveryKit, html: string | undefined): Promise<string> {
  const text = writeKit(
    kit,
    `Printed ${new Date().toISOString()} for ${client.url}, ${kit.repositories.length} repositories`,
  );
  if (html !== undefined) await writeFile(html, recoveryPage(text), { mode: 0o600 });
  return text;
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new ExitError(EXIT.failed, `${file} can't be read: ${messageOf(error)}`);
  }
}
