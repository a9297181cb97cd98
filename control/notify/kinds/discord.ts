import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { jsonRequest, type Message, type TargetOf } from "../message.ts";
import { cut } from "../text.ts";
import type { Severity } from "../message-text.ts";

const MAX_TITLE = 256;
const MAX_DESCRIPTION = 4096;
const COLOR: Record<Severity, number> = { critical: 0xc0392b, warning: 0xf39c12, resolved: 0x27ae60, info: 0x7f8c8d };

/** https://discord.com/developers/docs/resources/webhook#execute-webhook, with all mentions turned off. */
export function discordRequest({ text, event }: Message, { url }: TargetOf<"discord">): OutgoingRequest {
  return jsonRequest(url, {
    username: "Holdfast",
    allowed_mentions: { parse: [] },
    embeds: [
      {
        title: cut(plain(text.title), MAX_TITLE),
        description: cut(plain(text.body), MAX_DESCRIPTION),
        color: COLOR[text.severity],
        timestamp: event.timestamp,
      },
    ],
  });
}

/** Escapes Discord's markup, links and mentions. */
function plain(text: string): string {
  return text.replace(/[\\`*_~|[\]<>#@]/g, (character) => `\\${character}`);
}
