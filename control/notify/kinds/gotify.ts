import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { jsonRequest, type Message, type TargetOf, under } from "../message.ts";
import { cut } from "../text.ts";
import type { Severity } from "../words.ts";

const MOST_TITLE = 250;
const MOST_MESSAGE = 8000;
/** From 8 on the apps make a sound, from 4 on they show a notification. */
const PRIORITY: Record<Severity, number> = { bad: 8, odd: 5, good: 4, plain: 4 };

/** https://gotify.net/docs/pushmsg */
export function gotifyRequest({ text: words }: Message, { url, token }: TargetOf<"gotify">): OutgoingRequest {
  const body = {
    title: cut(words.title, MOST_TITLE),
    message: cut(words.body === "" ? words.title : words.body, MOST_MESSAGE),
    priority: PRIORITY[words.severity],
  };
  return jsonRequest(under(url, "/message"), body, { headers: { "x-gotify-key": token } });
}
