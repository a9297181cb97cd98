import { describeRoute, resolver } from "hono-openapi";
import type * as z from "zod";
import { ErrorBody } from "../../shared/failure.ts";

const errorAnswer = {
  description: "error: `code` for programs, `message` for people",
  content: { "application/json": { schema: resolver(ErrorBody.meta({ id: "Error" })) } },
};

/** Middleware that describes a route in the OpenAPI document. @param schema of a successful answer; null for no body */
export function describeAnswer(status: 200 | 201 | 202 | 204, schema: z.ZodType | null, summary: string) {
  const good = schema === null ? {} : { content: { "application/json": { schema: resolver(schema) } } };
  return describeRoute({ summary, responses: { [status]: { description: summary, ...good }, default: errorAnswer } });
}
