import fc from "fast-check";
import type { Dice } from "../support/random.ts";
import { oddValue, one } from "./mutation.ts";

/** JSON Schema, as far as the API's own description uses it. */
export interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly propertyNames?: JsonSchema;
  readonly items?: JsonSchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** What values are made from, beside the schema. */
export interface Material {
  /** What `$ref` names: `#/components/schemas/NAME`. */
  readonly schemas: Readonly<Record<string, JsonSchema>>;
  /** Values that real traffic had under a key: ids that are there, paths, expressions. */
  readonly seen: ReadonlyMap<string, readonly unknown[]>;
}

/** A value of the schema, as far as a schema can say it; now and then one at its very edge, or just not of it. */
export function invent(dice: Dice, material: Material, schema: JsonSchema, key = ""): unknown {
  const known = material.seen.get(key);
  if (known !== undefined && known.length > 0 && dice.isLucky(0.6)) return structuredClone(one(dice, known));
  if (dice.isLucky(0.01)) return oddValue(dice, material.seen);
  if (schema.$ref !== undefined)
    return invent(dice, material, material.schemas[schema.$ref.replace("#/components/schemas/", "")] ?? {}, key);
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return one(dice, schema.enum);
  const branches = schema.anyOf ?? schema.oneOf;
  if (branches !== undefined && branches.length > 0) return invent(dice, material, one(dice, branches), key);
  if (schema.allOf !== undefined)
    return Object.assign({}, ...schema.allOf.map((part) => invent(dice, material, part, key)));
  const type = typeof schema.type === "string" ? schema.type : schema.type === undefined ? "" : one(dice, schema.type);
  switch (type) {
    case "object":
      return inventObject(dice, material, schema);
    case "array":
      return inventArray(dice, material, schema, key);
    case "string":
      return inventString(dice, schema);
    case "integer":
    case "number":
      return inventNumber(dice, schema);
    case "boolean":
      return dice.isLucky(0.5);
    case "null":
      return null;
    default:
      return anyValue(dice);
  }
}

function inventObject(dice: Dice, material: Material, schema: JsonSchema): Record<string, unknown> {
  const { properties = {}, required = [], additionalProperties, propertyNames } = schema;
  const made: Record<string, unknown> = {};
  for (const [key, property] of Object.entries(properties)) {
    if (required.includes(key) || dice.isLucky(0.5)) made[key] = invent(dice, material, property, key);
  }
  if (typeof additionalProperties === "object") {
    for (let left = dice.below(3); left > 0; left--) {
      const key = String(invent(dice, material, propertyNames ?? { type: "string" }));
      if (key !== "__proto__") made[key] = invent(dice, material, additionalProperties, key);
    }
  }
  return made;
}

function inventArray(dice: Dice, material: Material, schema: JsonSchema, key: string): unknown[] {
  const { items = {}, minItems = 0, maxItems = 4 } = schema;
  const length = dice.isLucky(0.01) ? Math.min(maxItems, 300) : minItems + dice.below(3);
  return Array.from({ length: Math.min(length, maxItems) }, () => invent(dice, material, items, key));
}

function inventNumber(dice: Dice, { type, minimum = -1e6, maximum = 1e6 }: JsonSchema): number {
  const edge = dice.below(8);
  if (edge === 0) return minimum;
  if (edge === 1) return maximum;
  const between = minimum + dice.below(Math.min(maximum - minimum, 1e9) + 1);
  return type === "number" ? between + dice.below(1000) / 1000 : between;
}

/** Texts of each pattern and format, made once by fast-check: it knows how to turn an expression round. */
const texts = new Map<string, readonly string[]>();

function inventString(dice: Dice, { pattern, format, minLength = 0, maxLength = 200 }: JsonSchema): string {
  const key = `${format} ${pattern}`;
  const made = texts.get(key) ?? textsOf(pattern, format);
  texts.set(key, made);
  const text = one(dice, made);
  return text.length < minLength ? text.padEnd(minLength, "x") : text.slice(0, maxLength);
}

function textsOf(pattern: string | undefined, format: string | undefined): string[] {
  const sample = (from: fc.Arbitrary<string>): string[] => fc.sample(from, { seed: 1, numRuns: 60 });
  if (format === "date-time") return sample(fc.date({ noInvalidDate: true }).map((date) => date.toISOString()));
  if (format === "uri") return sample(fc.webUrl({ withQueryParameters: true, withFragments: true }));
  if (format === "email") return sample(fc.emailAddress());
  // fast-check knows no looking ahead.
  if (pattern !== undefined) return sample(fc.stringMatching(new RegExp(pattern.replace(/\(\?[=!][^)]*\)/g, ""))));
  return sample(fc.oneof(fc.string({ unit: "binary-ascii" }), fc.string(), fc.json({ maxDepth: 2 })));
}

let anything: readonly unknown[] = [];

/** Whatever JSON can hold. */
export function anyValue(dice: Dice): unknown {
  if (anything.length === 0) anything = fc.sample(fc.jsonValue({ maxDepth: 4 }), { seed: 1, numRuns: 500 });
  return structuredClone(one(dice, anything));
}
