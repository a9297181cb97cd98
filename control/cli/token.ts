import { CreateToken, page, RotateToken, Token, TokenCreated } from "../../shared/api.ts";
import { UsageError } from "../../shared/node/arguments.ts";
import { createToken } from "../domain/service/tokens.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { openOffline } from "./offline.ts";
import type { Terminal } from "./terminal.ts";
import { defineVerb } from "./verb.ts";

/** Prints only the token on stdout: `TOKEN=$(holdfast token create ci --scope read)`. */
export const token = defineVerb({
  name: "token",
  usage:
    "token create NAME --scope read|operate|admin [--expires SECONDS] [--offline], token rotate NAME [--overlap SECONDS]",
  summary:
    "create an API token; --offline writes it to the database directly, for when no token is left; rotate: a new one in its place",
  options: {
    scope: { type: "string" },
    expires: { type: "string" },
    overlap: { type: "string" },
    offline: { type: "boolean", default: false },
  },
  positionals: ["create", "NAME"],
  run: async ({ values, positionals: [action, name], terminal, openClient }) => {
    if (action === "rotate")
      return { text: `${await rotate(await openClient(), { name, overlap: values.overlap })}\n` };
    if (action !== "create") throw new UsageError(`unknown command 'token ${action}'`);
    const input = CreateToken.safeParse({
      name,
      scope: values.scope,
      expiresInSeconds: values.expires === undefined ? null : Number(values.expires),
    });
    if (!input.success) {
      throw new UsageError(input.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; "));
    }
    const created = values.offline
      ? await createOffline(terminal, input.data)
      : (await (await openClient()).ask(TokenCreated, "POST", "/tokens", input.data)).token;
    return { text: `${created}\n` };
  },
});

/** The old token works on for the overlap, an hour when it is not given. */
async function rotate(
  client: Client,
  { name, overlap }: { name: string; overlap: string | undefined },
): Promise<string> {
  const { items } = await client.ask(page(Token), "GET", `/tokens?name=${encodeURIComponent(name)}`);
  const [known] = items;
  if (known === undefined) throw new UsageError(`there is no API token "${name}"`);
  const input = RotateToken.safeParse(overlap === undefined ? {} : { overlapSeconds: Number(overlap) });
  if (!input.success) throw new UsageError("--overlap must be a number of seconds, at most 30 days");
  return (await client.ask(TokenCreated, "POST", `/tokens/${known.id}/rotate`, input.data)).token;
}

async function createOffline(terminal: Terminal, input: CreateToken): Promise<string> {
  const offline = await openOffline(terminal);
  try {
    return (await createToken(offline.deps, input)).token;
  } finally {
    offline.close();
  }
}
