import * as z from "zod";
import type { JsonSchema } from "../../fuzz/invention.ts";

/** Where a text stands in a value, such as `contracts[].request.user`. */
export interface Place {
  readonly path: readonly (string | number)[];
  readonly pattern: string;
}

/** Every text in a value. */
export function textsIn(value: unknown, path: readonly (string | number)[] = [], pattern = ""): Place[] {
  if (typeof value === "string") return [{ path, pattern }];
  if (Array.isArray(value)) return value.flatMap((item, index) => textsIn(item, [...path, index], `${pattern}[]`));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => textsIn(item, [...path, key], joined(pattern, key)));
}

/** A copy of a value with another text in one place. */
export function withText<T>(value: T, path: readonly (string | number)[], text: string): T {
  const [first, ...rest] = path;
  if (first === undefined) return text as T;
  if (Array.isArray(value))
    return value.map((item, index) => (index === first ? withText(item, rest, text) : item)) as T;
  return { ...value, [first]: withText((value as Record<string | number, unknown>)[first], rest, text) };
}

export function textAt(value: unknown, path: readonly (string | number)[]): string {
  const found = path.reduce<unknown>((at, key) => (at as Record<string | number, unknown>)[key], value);
  return typeof found === "string" ? found : "";
}

/** Every place where a schema takes a text of its sender's choice, as `textsIn` names them. */
export function placesOf(schema: z.ZodType): string[] {
  const whole = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema & {
    $defs?: Record<string, JsonSchema>;
  };
  const found = new Set<string>();
  const walk = (one: JsonSchema, pattern: string): void => {
    const named = /^#\/\$defs\/(.*)$/.exec(one.$ref ?? "")?.[1];
    if (named !== undefined) return walk(whole.$defs?.[named] ?? {}, pattern);
    for (const branch of [...(one.anyOf ?? []), ...(one.oneOf ?? []), ...(one.allOf ?? [])]) walk(branch, pattern);
    if (one.type === "string" && one.enum === undefined && one.const === undefined) found.add(pattern);
    if (one.items !== undefined) walk(one.items, `${pattern}[]`);
    for (const [key, property] of Object.entries(one.properties ?? {})) walk(property, joined(pattern, key));
    if (typeof one.additionalProperties === "object") {
      for (const key of one.propertyNames?.enum ?? ["*"]) walk(one.additionalProperties, joined(pattern, String(key)));
    }
  };
  walk(whole, "");
  return [...found].toSorted();
}

function joined(pattern: string, key: string): string {
  return pattern === "" ? key : `${pattern}.${key}`;
}
