import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { jsonRequest, type Message, type TargetOf } from "../message.ts";
import { cut, cutBytes } from "../text.ts";
import type { Severity } from "../words.ts";

/** A longer message would become an attachment. */
const MOST_BYTES = 4096;
const MOST_TITLE = 250;
const PRIORITY: Record<Severity, number> = { bad: 4, odd: 3, good: 3, plain: 3 };
const TAGS: Record<Severity, string> = {
  bad: "rotating_light",
  odd: "warning",
  good: "white_check_mark",
  plain: "bell",
};

/** https://docs.ntfy.sh/publish/#publish-as-json: the topic is in the body, so the server's own address is asked. */
export function ntfyRequest({ text: words }: Message, { url, topic, token }: TargetOf<"ntfy">): OutgoingRequest {
  const body = {
    topic,
    title: cut(words.title, MOST_TITLE),
    // Without a message ntfy shows "triggered".
    message: cutBytes(words.body === "" ? words.title : words.body, MOST_BYTES),
    priority: PRIORITY[words.severity],
    tags: [TAGS[words.severity]],
  };
  return jsonRequest(url, body, { headers: token === null ? {} : { authorization: `Bearer ${token}` } });
}
