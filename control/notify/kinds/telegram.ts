import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { jsonRequest, type Message, type TargetOf, under } from "../message.ts";
import { cut } from "../text.ts";

const MAX_TEXT = 4096;

/** https://core.telegram.org/bots/api#sendmessage. Without `parse_mode` nothing in the text is markup. */
export function telegramRequest({ text }: Message, { url, token, chat }: TargetOf<"telegram">): OutgoingRequest {
  return jsonRequest(under(url, `/bot${encodeURIComponent(token).replaceAll("%3A", ":")}/sendMessage`), {
    chat_id: chat,
    text: cut(text.body === "" ? text.title : `${text.title}\n\n${text.body}`, MAX_TEXT),
    link_preview_options: { is_disabled: true },
    disable_notification: text.severity === "info" || text.severity === "resolved",
  });
}
