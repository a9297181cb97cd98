import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { jsonRequest, type Message, type TargetOf } from "../message.ts";
import { cut } from "../text.ts";
import type { Severity } from "../words.ts";

const MOST_TITLE = 256;
const MOST_DESCRIPTION = 4096;
const COLOR: Record<Severity, number> = { bad: 0xc0392b, odd: 0xf39c12, good: 0x27ae60, plain: 0x7f8c8d };

/** https://discord.com/developers/docs/resources/webhook#execute-webhook: nobody is mentioned, whatever a text says. */
export function discordRequest({ text: words, event }: Message, { url }: TargetOf<"discord">): OutgoingRequest {
  return jsonRequest(url, {
    username: "Holdfast",
    allowed_mentions: { parse: [] },
    embeds: [
      {
        title: cut(plain(words.title), MOST_TITLE),
        description: cut(plain(words.body), MOST_DESCRIPTION),
        color: COLOR[words.severity],
        timestamp: event.timestamp,
      },
    ],
  });
}

/** What Discord would take for markup, a link or a mention. */
function plain(text: string): string {
  return text.replace(/[\\`*_~|[\]<>#@]/g, (character) => `\\${character}`);
}
