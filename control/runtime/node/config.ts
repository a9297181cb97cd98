import { hostname, networkInterfaces } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as z from "zod";
import { type Networks, parseNetworks } from "../../../shared/address.ts";
import { parseDestinationRules, type DestinationRules } from "../../notify/destinations.ts";

/** The configuration of one control plane process. */
export interface NodeConfig {
  /** Absolute path. */
  readonly dataDir: string;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Public origin without a trailing slash; null: derived from host and port. */
  readonly url: string | null;
  readonly databaseUrl: string;
  readonly databaseToken: string | undefined;
  /** Where notifications may go. */
  readonly webhookPrivate: DestinationRules;
  /** base64url PKCS #8; undefined: the key is a file in the data directory. */
  readonly signingKey: string | undefined;
  /** The key that will take its place; undefined: the file's, if there is one. */
  readonly nextSigningKey: string | undefined;
  /** External dead man's switch to ping every minute; null: none. */
  readonly heartbeatUrl: string | null;
  /** Proxies in front of it, whose `X-Forwarded-For` is believed. */
  readonly trustedProxy: Networks;
}

const Origin = z
  .url({ protocol: /^https?$/, error: "must be an origin like https://backup.example.org" })
  .refine(
    (text) => !URL.canParse(text) || new URL(text).href === `${new URL(text).origin}/`,
    "must be an origin only: no path, user or query",
  )
  .transform((text) => new URL(text).origin);

const Environment = z.object({
  HOLDFAST_DATA: z.string().default("./data"),
  HOLDFAST_HOST: z.string().default("127.0.0.1"),
  HOLDFAST_PORT: z.coerce.number({ error: "must be a port number" }).pipe(z.int().min(0).max(65_535)).default(7676),
  HOLDFAST_URL: Origin.optional(),
  HOLDFAST_DATABASE_URL: z
    .string()
    .regex(/^(file:|libsql:\/\/|https?:\/\/)/, "must begin with file:, libsql://, https:// or http://")
    .optional(),
  HOLDFAST_DATABASE_TOKEN: z.string().optional(),
  HOLDFAST_WEBHOOK_PRIVATE: z
    .string()
    .default("lan")
    .transform((text, context) => {
      const rules = parseDestinationRules(text);
      if (rules !== null) return rules;
      context.issues.push({
        code: "custom",
        input: text,
        message: "must be lan, allow or refuse, then names or addresses that are always allowed, comma-separated",
      });
      return z.NEVER;
    }),
  HOLDFAST_TRUSTED_PROXY: z
    .string()
    .transform((text, context) => {
      const networks = parseNetworks(text);
      if (networks !== null) return networks;
      const message = "must be addresses or ranges of proxies, like 127.0.0.1,10.0.0.0/8";
      context.issues.push({ code: "custom", input: text, message });
      return z.NEVER;
    })
    .optional(),
  HOLDFAST_SIGNING_KEY: z.string().optional(),
  HOLDFAST_NEXT_SIGNING_KEY: z.string().optional(),
  HOLDFAST_HEARTBEAT_URL: z.url({ protocol: /^https?$/, error: "must be an http:// or https:// address" }).optional(),
});

/**
 * Reads the configuration from the environment. An empty variable counts as not set.
 * @throws Error that names every invalid variable and the reason
 */
export function readConfig(environment: Record<string, string | undefined>): NodeConfig {
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ""),
  );
  const parsed = Environment.safeParse(given);
  if (!parsed.success) {
    throw new Error(parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`).join("; "));
  }
  const { data } = parsed;
  const dataDir = resolve(data.HOLDFAST_DATA);
  return {
    dataDir,
    host: data.HOLDFAST_HOST,
    port: data.HOLDFAST_PORT,
    url: data.HOLDFAST_URL ?? null,
    databaseUrl: data.HOLDFAST_DATABASE_URL ?? pathToFileURL(join(dataDir, "control.db")).href,
    databaseToken: data.HOLDFAST_DATABASE_TOKEN,
    webhookPrivate: data.HOLDFAST_WEBHOOK_PRIVATE,
    signingKey: data.HOLDFAST_SIGNING_KEY,
    nextSigningKey: data.HOLDFAST_NEXT_SIGNING_KEY,
    heartbeatUrl: data.HOLDFAST_HEARTBEAT_URL ?? null,
    trustedProxy: data.HOLDFAST_TRUSTED_PROXY ?? [],
  };
}

/**
 * The public origin: HOLDFAST_URL, else the address it listens on, else (when it listens on all) one of this machine's.
 * @param port the actual port
 */
export function publicOrigin(config: NodeConfig, port: number): string {
  if (config.url !== null) return config.url;
  const host = config.host === "0.0.0.0" || config.host === "::" ? ownAddress() : config.host;
  return originOf(host, port);
}

/** The origin for programs on this machine. */
export function localOrigin({ host, port }: Pick<NodeConfig, "host" | "port">): string {
  const reached = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return originOf(reached, port);
}

/** @returns the absolute path of a `file:` database, null for one on a server */
export function databaseFile({ databaseUrl }: Pick<NodeConfig, "databaseUrl">): string | null {
  if (!databaseUrl.startsWith("file:")) return null;
  return databaseUrl.startsWith("file:/") ? fileURLToPath(databaseUrl) : resolve(databaseUrl.slice("file:".length));
}

/** Whether an origin can be reached from this machine only. */
export function isLoopback(origin: string): boolean {
  const { hostname: host } = new URL(origin);
  return host === "localhost" || host === "[::1]" || host.startsWith("127.");
}

function originOf(host: string, port: number): string {
  return new URL(`http://${host.includes(":") ? `[${host}]` : host}:${port}`).origin;
}

function ownAddress(): string {
  const outside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find((address) => !address.internal && address.family === "IPv4");
  return outside?.address ?? hostname();
}
