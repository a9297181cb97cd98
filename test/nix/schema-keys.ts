import * as z from "zod";

/** What encloses a schema and has no keys of its own. */
function within(schema: z.core.$ZodType): z.core.$ZodType | null {
  if (
    schema instanceof z.core.$ZodOptional ||
    schema instanceof z.core.$ZodNullable ||
    schema instanceof z.core.$ZodDefault ||
    schema instanceof z.core.$ZodPrefault
  )
    return schema._zod.def.innerType;
  if (schema instanceof z.core.$ZodArray) return schema._zod.def.element;
  if (!(schema instanceof z.core.$ZodPipe)) return null;
  const { in: before, out } = schema._zod.def;
  return before instanceof z.core.$ZodTransform ? out : before;
}

/** @returns the path of every key that a schema's objects have, also in lists and in the parts of a union */
export function keysOf(schema: z.core.$ZodType, at = ""): string[] {
  const inner = within(schema);
  if (inner !== null) return keysOf(inner, at);
  if (schema instanceof z.core.$ZodUnion) {
    return [...new Set(schema._zod.def.options.flatMap((option) => keysOf(option, at)))];
  }
  if (!(schema instanceof z.core.$ZodObject)) return [];
  return Object.entries(schema._zod.def.shape).flatMap(([key, value]) => [
    `${at}${key}`,
    ...keysOf(value, `${at}${key}.`),
  ]);
}
