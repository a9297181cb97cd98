import type { Email } from "../../deps.ts";
import type { Message, TargetOf } from "../message.ts";
import { cut } from "../text.ts";

/** Mail programs cut subjects long before; a line of a header may have 998. */
const MOST_SUBJECT = 200;
const MOST_TEXT = 50_000;

/** @param reached who has this letter already: it is not sent to them again */
export function buildEmail(
  { id, text: words, event }: Message,
  target: TargetOf<"email">,
  reached: readonly string[],
): Email {
  const { server, port, security, username, password, from, to } = target;
  return {
    server,
    port,
    security,
    username,
    password,
    from,
    to: to.filter((address) => !reached.includes(address)),
    subject: cut(words.title, MOST_SUBJECT),
    text: `${cut(words.body === "" ? words.title : words.body, MOST_TEXT)}\n\n${event.type}, ${event.timestamp}\n`,
    messageId: `<${id}@${from.split("@").at(-1) ?? "holdfast"}>`,
    sentAt: event.timestamp,
  };
}
