import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { jsonRequest, type Message, type TargetOf } from "../message.ts";
import { cut, cutBytes } from "../text.ts";
import type { Severity } from "../message-text.ts";

/** A longer message would become an attachment. */
const MAX_BYTES = 4096;
const MAX_TITLE = 250;
const PRIORITY: Record<Severity, number> = { critical: 4, warning: 3, resolved: 3, info: 3 };
const TAGS: Record<Severity, string> = {
  critical: "rotating_light",
  warning: "warning",
  resolved: "white_check_mark",
  info: "bell",
};

/** https://docs.ntfy.sh/publish/#publish-as-json: the topic is in the body, so the URL is the server's root. */
export function ntfyRequest({ text }: Message, { url, topic, token }: TargetOf<"ntfy">): OutgoingRequest {
  const body = {
    topic,
    title: cut(text.title, MAX_TITLE),
    // Without a message ntfy shows "triggered".
    message: cutBytes(text.body === "" ? text.title : text.body, MAX_BYTES),
    priority: PRIORITY[text.severity],
    tags: [TAGS[text.severity]],
  };
  return jsonRequest(url, body, { headers: token === null ? {} : { authorization: `Bearer ${token}` } });
}
