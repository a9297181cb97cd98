import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { type Message, type TargetOf, under } from "../message.ts";
import { cut } from "../text.ts";
import type { Severity } from "../message-text.ts";

const MAX_TITLE = 250;
const MAX_MESSAGE = 1024;
/** 1 ignores the phone's quiet hours; 2 would need an acknowledgement. */
const PRIORITY: Record<Severity, number> = { critical: 1, warning: 0, resolved: 0, info: 0 };

/** https://pushover.net/api */
export function pushoverRequest({ text, event }: Message, { url, token, user }: TargetOf<"pushover">): OutgoingRequest {
  const fields = {
    token,
    user,
    title: cut(text.title, MAX_TITLE),
    message: cut(text.body === "" ? text.title : text.body, MAX_MESSAGE),
    priority: String(PRIORITY[text.severity]),
    timestamp: String(Math.floor(Date.parse(event.timestamp) / 1000)),
  };
  return {
    method: "POST",
    url: under(url, "/1/messages.json"),
    headers: { "content-type": "application/x-www-form-urlencoded", "user-agent": "Holdfast" },
    body: new URLSearchParams(fields).toString(),
  };
}
