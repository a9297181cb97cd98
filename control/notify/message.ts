import type { ChannelKind, ChannelTarget } from "../../shared/channel.ts";
import type { Event } from "../../shared/event.ts";
import type { Id } from "../../shared/ids.ts";
import type { MessageText } from "./message-text.ts";

/** One event for one channel. */
export interface Message {
  /** The delivery's id: the same on every attempt. */
  readonly id: Id;
  /** Time of this attempt, in milliseconds since 1970. */
  readonly at: number;
  readonly event: Event;
  readonly text: MessageText;
}

/** The target of one kind of channel. */
export type TargetOf<Kind extends ChannelKind> = Extract<ChannelTarget, { kind: Kind }>;

/** One request with a JSON body. */
export function jsonRequest(
  url: string,
  body: unknown,
  { method = "POST", headers = {} }: { method?: "POST" | "PUT"; headers?: Record<string, string> } = {},
) {
  return {
    method,
    url,
    headers: { "content-type": "application/json", "user-agent": "Holdfast", ...headers },
    body: JSON.stringify(body),
  };
}

/** Appends `path` (with a leading slash) to a server's URL, which may have a path and a trailing slash. */
export function under(server: string, path: string): string {
  return `${server.replace(/\/+$/, "")}${path}`;
}
