import * as z from "zod";
import type { Dice } from "../support/random.ts";
import { anyValue, invent, type JsonSchema, type Material } from "./invention.ts";
import { oddValue, one, spoilJson, spoilText } from "./mutation.ts";
import type { RecordedRequest } from "./recorded.ts";
import type { Scene } from "./scene.ts";

/** One route of the app, with what its own description says of it. */
export interface Route {
  readonly method: string;
  /** `/api/v1/hosts/:id` */
  readonly path: string;
  readonly body: JsonSchema | null;
  readonly query: readonly { readonly name: string; readonly schema: JsonSchema }[];
  /** What it answers when it went well; null when nothing is said of that. */
  readonly answer: z.ZodType | null;
  /** Requests to it that went well. */
  recorded(): readonly RecordedRequest[];
}

const Schema = z.custom<JsonSchema>((value) => typeof value === "object");
const Content = z.object({ content: z.object({ "application/json": z.object({ schema: Schema }) }).optional() });
const Operation = z.object({
  parameters: z.array(z.object({ name: z.string(), in: z.string(), schema: Schema })).default([]),
  requestBody: Content.optional(),
  responses: z.record(z.string(), Content),
});
const Description = z.object({
  paths: z.record(z.string(), z.record(z.string(), Operation)),
  components: z.object({ schemas: z.record(z.string(), Schema) }),
});

/** Every route there is, by walking the app: a new one needs nothing here. */
export async function routesOf({
  control,
  traffic,
  pillars,
}: Scene): Promise<{ routes: Route[]; material: RequestMaterial }> {
  const { body } = await control.admin.send("GET", "/api/v1/openapi.json");
  const { paths, components } = Description.parse(body);
  const walked = control.app.routes
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => `${method} ${path}`);
  const routes = [...new Set(walked)].map((route): Route => {
    const [method = "", path = ""] = route.split(" ");
    const described = paths[path.replace(/:(\w+)/g, "{$1}")]?.[method.toLowerCase()];
    const good = Object.entries(described?.responses ?? {}).find(([status]) => status.startsWith("2"))?.[1];
    const answer = good?.content?.["application/json"].schema;
    const pattern = new RegExp(`^${path.replace(/:\w+/g, "[^/]+")}$`);
    return {
      method,
      path,
      body: described?.requestBody?.content?.["application/json"].schema ?? null,
      query: (described?.parameters ?? []).filter((parameter) => parameter.in === "query"),
      answer: answer === undefined ? null : zodOf(answer, components.schemas),
      recorded: () => traffic.requests.filter((request) => request.method === method && pattern.test(request.path)),
    };
  });
  return { routes, material: { schemas: components.schemas, seen: traffic.seen, ids: traffic.ids, pillars } };
}

function zodOf(schema: JsonSchema, schemas: Readonly<Record<string, JsonSchema>>): z.ZodType {
  const whole: unknown = { ...schema, components: { schemas } };
  return z.fromJSONSchema(whole as z.core.JSONSchema.JSONSchema);
}

/** What requests are made from. */
export interface RequestMaterial extends Material {
  readonly ids: ReadonlyMap<string, readonly string[]>;
  /** What is neither changed nor deleted, or there would be nobody left to ask. */
  readonly pillars: readonly string[];
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | Uint8Array<ArrayBuffer> | null;
}

/** A request to a route: near enough to a good one to get far, and rarely a good one. */
export function requestTo(dice: Dice, route: Route, material: RequestMaterial): Asked {
  const known = dice.isLucky(0.6) ? route.recorded() : [];
  const recorded = known.length > 0 ? one(dice, known) : null;
  const path = dice.isLucky(0.01) ? oddPath(dice, route.path) : pathOf(dice, route, { recorded, material });
  const method = dice.isLucky(0.02) ? dice.pick(METHODS) : route.method;
  const isSparing = method === "GET" || !material.pillars.some((id) => path.includes(id));
  const isBodiless = !isSparing || method === "GET" || method === "HEAD" || (method === "DELETE" && dice.isLucky(0.9));
  return {
    method: isSparing ? method : "GET",
    path: path + queryOf(dice, route, material),
    headers: headersOf(dice, isBodiless),
    body: isBodiless ? null : bodyOf(dice, route, { recorded, material }),
  };
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] as const;

interface Basis {
  readonly recorded: RecordedRequest | null;
  readonly material: RequestMaterial;
}

function pathOf(dice: Dice, route: Route, { recorded, material }: Basis): string {
  if (recorded !== null && dice.isLucky(0.8)) return recorded.path;
  const noun = route.path.split("/")[3] ?? "";
  return route.path.replace(/:\w+/g, () => {
    const ids = material.ids.get(dice.isLucky(0.95) ? noun : one(dice, [...material.ids.keys()])) ?? [];
    if (ids.length > 0 && dice.isLucky(0.85)) return encodeURIComponent(one(dice, ids));
    return dice.isLucky(0.5)
      ? encoded(oddValue(dice, material.seen))
      : dice.pick(["%", "%ff", "%2e%2e%2f", "%00", "a%2Fb", "%F0%9F", ".", "..;", "*"]);
  });
}

function oddPath(dice: Dice, path: string): string {
  return `/${encodeURI(spoilText(dice, path).toWellFormed()).replace(/^\/+/, "")}`;
}

function encoded(value: unknown): string {
  return encodeURIComponent(
    (typeof value === "string" ? value : (JSON.stringify(value) ?? "")).slice(0, 5_000).toWellFormed(),
  );
}

function queryOf(dice: Dice, { query }: Route, material: RequestMaterial): string {
  if (query.length === 0 ? dice.isLucky(0.97) : dice.isLucky(0.2)) return "";
  const pairs: string[] = [];
  for (const { name, schema } of query) {
    if (dice.isLucky(0.6)) continue;
    const value = dice.isLucky(0.7) ? invent(dice, material, schema, name) : oddValue(dice, material.seen);
    pairs.push(`${name}=${encoded(value)}`);
    if (dice.isLucky(0.05)) pairs.push(`${name}=${encoded(oddValue(dice, material.seen))}`);
  }
  if (dice.isLucky(0.1))
    pairs.push(
      dice.pick(["limit", "limit=0x10", "limit=1e2", "cursor=", "__proto__=1", "=", "&&", "a[]=1", "%", "limit=%ff"]),
    );
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

function headersOf(dice: Dice, isBodiless: boolean): Record<string, string> {
  const headers: Record<string, string> = {};
  if (!isBodiless || dice.isLucky(0.02)) {
    headers["content-type"] = dice.isLucky(0.93)
      ? "application/json"
      : dice.pick([
          "",
          "text/plain",
          "application/json; charset=utf-16",
          "multipart/form-data; boundary=x",
          "application/x-www-form-urlencoded",
          "application/problem+json",
          "json",
        ]);
  }
  if (dice.isLucky(0.05)) headers["content-length"] = dice.pick(["0", "-1", "9999999999", "x"]);
  if (dice.isLucky(0.05))
    headers["if-none-match"] = dice.pick(['"1"', "*", 'W/"99999999999999"', '"-1"', '"1","2"', "x".repeat(5_000)]);
  if (dice.isLucky(0.02)) headers["content-encoding"] = dice.pick(["gzip", "br", "x"]);
  if (dice.isLucky(0.02)) headers["x-forwarded-for"] = dice.pick(["127.0.0.1", "::1", "\u00ff"]);
  if (dice.isLucky(0.01)) headers["cookie"] = "a=b; ".repeat(500);
  return headers;
}

function bodyOf(dice: Dice, route: Route, { recorded, material }: Basis): Asked["body"] {
  const spare = material.seen;
  if (recorded?.body !== undefined && dice.isLucky(0.9)) {
    return dice.isLucky(0.15) ? JSON.stringify(recorded.body) : spoilJson(dice, recorded.body, spare);
  }
  if (route.body === null) return dice.isLucky(0.85) ? null : JSON.stringify(anyValue(dice));
  if (dice.isLucky(0.02)) return bytesOf(dice);
  if (dice.isLucky(0.05)) return JSON.stringify(anyValue(dice));
  const made = invent(dice, material, route.body);
  return dice.isLucky(0.5) ? JSON.stringify(made) : spoilJson(dice, made, spare);
}

function bytesOf(dice: Dice): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: dice.below(200) }, () => dice.below(256));
}
