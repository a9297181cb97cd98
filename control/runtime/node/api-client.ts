import type * as z from "zod";

/** The API of one control plane. What a call throws says what to do. */
export interface Client {
  readonly url: string;
  ask<T>(schema: z.ZodType<T>, method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<T>;
  /** All pages. */
  list<T>(item: z.ZodType<T>, path: string, filters?: Record<string, string>): Promise<T[]>;
}
