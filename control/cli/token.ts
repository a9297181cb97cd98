import { CreateToken, TokenCreated } from "../../shared/api.ts";
import { UsageError } from "../../shared/node/arguments.ts";
import { createToken } from "../domain/service/tokens.ts";
import { openOffline } from "./offline.ts";
import type { Terminal } from "./terminal.ts";
import { defineVerb } from "./verb.ts";

/** Prints only the token on stdout: `TOKEN=$(holdfast token create ci --scope read)`. */
export const token = defineVerb({
  name: "token",
  usage: "token create NAME --scope read|operate|admin [--expires SECONDS] [--offline]",
  summary: "create an API token; --offline writes it to the database directly, for when no token is left",
  options: { scope: { type: "string" }, expires: { type: "string" }, offline: { type: "boolean", default: false } },
  positionals: ["create", "NAME"],
  run: async ({ values, positionals: [action, name], terminal, openClient }) => {
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

async function createOffline(terminal: Terminal, input: CreateToken): Promise<string> {
  const offline = await openOffline(terminal);
  try {
    return (await createToken(offline.deps, input)).token;
  } finally {
    offline.close();
  }
}
