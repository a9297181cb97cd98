import { readRetryAfter } from "../../../shared/outgoing.ts";
import type { Post } from "../../deps.ts";

const GIVE_UP_AFTER_MS = 15_000;

/** A redirect is an answer like any other (it could lead anywhere), and the body is thrown away unread. */
export const post: Post = async ({ method, url, headers, body }) => {
  const response = await fetch(url, {
    method,
    headers,
    ...(method === "GET" ? {} : { body }),
    redirect: "manual",
    signal: AbortSignal.timeout(GIVE_UP_AFTER_MS),
  });
  await response.body?.cancel();
  const retryAfterSeconds = readRetryAfter(response.headers.get("retry-after"), Date.now());
  return { status: response.status, retryAfterSeconds };
};
