import type * as z from "zod";
import { type ApiCode, ErrorBody } from "../../shared/failure.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed when it is JSON, else the text. */
  readonly body: unknown;
}

/** Speaks HTTP to one control plane with one credential, like anybody from outside. */
export interface Client {
  /** Sends JSON and gives back whatever came. */
  send(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Sends JSON, demands a 2xx, and parses the answer. */
  ask<T>(schema: z.ZodType<T>, method: string, path: string, body?: unknown): Promise<T>;
}

/**
 * @param url the origin, or where to find it once there is one
 * @param bearer makes the credential anew for every request; null: none is sent
 */
export function openClient(url: string | (() => string), bearer: (() => string | Promise<string>) | null): Client {
  const send = async (method: string, path: string, body?: unknown): Promise<Answer> => {
    const headers = new Headers();
    if (bearer !== null) headers.set("authorization", `Bearer ${await bearer()}`);
    if (body !== undefined) headers.set("content-type", "application/json");
    const answer = await fetch(`${typeof url === "string" ? url : url()}${path}`, {
      method,
      headers,
      redirect: "manual",
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const isJson = answer.headers.get("content-type")?.includes("json") ?? false;
    return { status: answer.status, headers: answer.headers, body: isJson ? JSON.parse(text) : text };
  };
  return {
    send,
    ask: async (schema, method, path, body) => {
      const answer = await send(method, path, body);
      if (answer.status < 200 || answer.status > 299) {
        throw new Error(`${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
      }
      return schema.parse(answer.body);
    },
  };
}

/** @returns the code of a refusal's body, or null when it is none */
export function codeOf(body: unknown): ApiCode | null {
  return ErrorBody.safeParse(body).data?.error.code ?? null;
}
