import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { type Message, type TargetOf, under } from "../message.ts";
import { cut } from "../text.ts";
import type { Severity } from "../words.ts";

const MOST_TITLE = 250;
const MOST_MESSAGE = 1024;
/** 1 goes through quiet hours on the phone; 2 would have to be acknowledged. */
const PRIORITY: Record<Severity, number> = { bad: 1, odd: 0, good: 0, plain: 0 };

/** https://pushover.net/api */
export function pushoverRequest(
  { text: words, event }: Message,
  { url, token, user }: TargetOf<"pushover">,
): OutgoingRequest {
  const fields = {
    token,
    user,
    title: cut(words.title, MOST_TITLE),
    message: cut(words.body === "" ? words.title : words.body, MOST_MESSAGE),
    priority: String(PRIORITY[words.severity]),
    timestamp: String(Math.floor(Date.parse(event.timestamp) / 1000)),
  };
  return {
    method: "POST",
    url: under(url, "/1/messages.json"),
    headers: { "content-type": "application/x-www-form-urlencoded", "user-agent": "Holdfast" },
    body: new URLSearchParams(fields).toString(),
  };
}
