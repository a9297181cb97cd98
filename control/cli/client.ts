import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { page } from "../../shared/api.ts";
import { ErrorBody } from "../../shared/failure.ts";
import { EXIT } from "../../shared/node/arguments.ts";
import type { Client } from "../runtime/node/api-client.ts";
import { localOrigin, type NodeConfig, readConfig } from "../runtime/node/config.ts";
import { ExitError, type Terminal } from "./terminal.ts";

const ANSWER_WITHIN_MS = 30_000;
const PAGE = 500;

/** Opens the API of HOLDFAST_URL with HOLDFAST_TOKEN; by default, that of the control plane of this data directory. */
export async function openClient(terminal: Pick<Terminal, "env">): Promise<Client> {
  const config = readConfig(terminal.env);
  const token = terminal.env["HOLDFAST_TOKEN"] || (await readStoredToken(config));
  return clientOf(config.url ?? localOrigin(config), token);
}

/** @param url an origin, without a trailing slash */
export function clientOf(url: string, token: string): Client {
  const ask: Client["ask"] = async (schema, method, path, body) => {
    const answer = await send(url, token, method, path, body);
    const text = await answer.text();
    if (!answer.ok) throw apiError(url, answer.status, text);
    const parsed = schema.safeParse(parseJson(text));
    if (!parsed.success)
      throw new ExitError(EXIT.failed, `${url} does not answer like Holdfast: is the address right?`);
    return parsed.data;
  };
  return {
    url,
    ask,
    list: async (item, path, filters = {}) => {
      const all = [];
      for (let cursor: string | null = ""; cursor !== null;) {
        const query = new URLSearchParams({ ...filters, limit: String(PAGE), ...(cursor === "" ? {} : { cursor }) });
        const { items, next } = await ask(page(item), "GET", `${path}?${query}`);
        all.push(...items);
        cursor = next;
      }
      return all;
    },
  };
}

async function readStoredToken(config: NodeConfig): Promise<string> {
  const file = join(config.dataDir, "token");
  try {
    return (await readFile(file, "utf8")).trim();
  } catch {
    throw new ExitError(
      EXIT.failed,
      `no API token: set HOLDFAST_TOKEN (there is none in ${file}, where \`holdfast start\` keeps one)`,
    );
  }
}

async function send(url: string, token: string, method: string, path: string, body: unknown): Promise<Response> {
  const headers = {
    authorization: `Bearer ${token}`,
    ...(body === undefined ? {} : { "content-type": "application/json" }),
  };
  try {
    return await fetch(`${url}/api/v1${path}`, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      redirect: "error",
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const why =
      cause instanceof Error ? cause.message || ("code" in cause ? String(cause.code) : cause.name) : String(cause);
    throw new ExitError(
      EXIT.tryLater,
      `${url} does not answer (${why}): is the control plane running, and HOLDFAST_URL right?`,
    );
  }
}

function apiError(url: string, status: number, text: string): ExitError {
  const body = ErrorBody.safeParse(parseJson(text));
  const exit = status >= 500 || status === 429 ? EXIT.tryLater : EXIT.failed;
  if (!body.success) return new ExitError(exit, `${url} answered ${status}`);
  const { message, issues = [] } = body.data.error;
  return new ExitError(
    exit,
    [message, ...issues.map((issue) => `  ${issue.path.join(".")}: ${issue.message}`)].join("\n"),
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
