import type { ChannelKind, ChannelTarget } from "../../shared/channel.ts";
import type { Event } from "../../shared/event.ts";
import type { Id } from "../../shared/ids.ts";
import type { MessageText } from "./words.ts";

/** One event on its way to one channel. */
export interface Message {
  /** The delivery's: the same on every attempt. */
  readonly id: Id;
  /** Milliseconds since 1970: the moment of this attempt. */
  readonly at: number;
  readonly event: Event;
  readonly text: MessageText;
}

/** How one kind of channel is reached. */
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

/** @param server an address that may have a path, and a slash at its end. @param path begins with a slash */
export function under(server: string, path: string): string {
  return `${server.replace(/\/+$/, "")}${path}`;
}
