import type * as z from "zod";

/** A client of one control plane's API. Errors have a message for people. */
export interface Client {
  readonly url: string;
  ask<T>(
    schema: z.ZodType<T>,
    method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE",
    path: string,
    body?: unknown,
  ): Promise<T>;
  /** Reads all pages. */
  list<T>(item: z.ZodType<T>, path: string, filters?: Record<string, string>): Promise<T[]>;
}
