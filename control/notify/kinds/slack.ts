import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { jsonRequest, type Message, type TargetOf } from "../message.ts";
import { cut } from "../text.ts";

/** What Slack shows whole; escaping makes a character five at most. */
const MOST_TEXT = 3500;

/** https://api.slack.com/messaging/webhooks: `&`, `<` and `>` are all that can begin a mention or a link. */
export function slackRequest({ text: words }: Message, { url }: TargetOf<"slack">): OutgoingRequest {
  const text = cut(words.body === "" ? words.title : `${words.title}\n${words.body}`, MOST_TEXT);
  return jsonRequest(url, { text: escaped(text), mrkdwn: false, unfurl_links: false, unfurl_media: false });
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
