import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { jsonRequest, type Message, type TargetOf } from "../message.ts";
import { cut } from "../text.ts";

/** Slack cuts longer texts. Escaping turns one character into five at most. */
const MAX_TEXT = 3500;

/** https://api.slack.com/messaging/webhooks: without `&`, `<` and `>` there are no mentions or links. */
export function slackRequest({ text: { title, body } }: Message, { url }: TargetOf<"slack">): OutgoingRequest {
  const text = cut(body === "" ? title : `${title}\n${body}`, MAX_TEXT);
  return jsonRequest(url, { text: escapeText(text), mrkdwn: false, unfurl_links: false, unfurl_media: false });
}

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
