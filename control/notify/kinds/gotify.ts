import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { jsonRequest, type Message, type TargetOf, under } from "../message.ts";
import { cut } from "../text.ts";
import type { Severity } from "../message-text.ts";

const MAX_TITLE = 250;
const MAX_MESSAGE = 8000;
/** The apps show a notification from 4, and make a sound from 8. */
const PRIORITY: Record<Severity, number> = { critical: 8, warning: 5, resolved: 4, info: 4 };

/** https://gotify.net/docs/pushmsg */
export function gotifyRequest({ text }: Message, { url, token }: TargetOf<"gotify">): OutgoingRequest {
  const body = {
    title: cut(text.title, MAX_TITLE),
    message: cut(text.body === "" ? text.title : text.body, MAX_MESSAGE),
    priority: PRIORITY[text.severity],
  };
  return jsonRequest(under(url, "/message"), body, { headers: { "x-gotify-key": token } });
}
