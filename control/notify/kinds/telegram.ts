import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { jsonRequest, type Message, type TargetOf, under } from "../message.ts";
import { cut } from "../text.ts";

const MOST_TEXT = 4096;

/** https://core.telegram.org/bots/api#sendmessage. Without `parse_mode` a text is a text, whatever is in it. */
export function telegramRequest({ text: words }: Message, { url, token, chat }: TargetOf<"telegram">): OutgoingRequest {
  return jsonRequest(under(url, `/bot${encodeURIComponent(token).replaceAll("%3A", ":")}/sendMessage`), {
    chat_id: chat,
    text: cut(words.body === "" ? words.title : `${words.title}\n\n${words.body}`, MOST_TEXT),
    link_preview_options: { is_disabled: true },
    disable_notification: words.severity === "plain" || words.severity === "good",
  });
}
