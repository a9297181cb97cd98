import type { Email } from "../../deps.ts";
import type { Message, TargetOf } from "../message.ts";
import { cut } from "../text.ts";

/** Mail programs show less; a header line may have 998 characters. */
const MAX_SUBJECT = 200;
const MAX_TEXT = 50_000;

/** @param reached recipients who already have this e-mail: it is not sent to them again */
export function buildEmail({ id, text, event }: Message, target: TargetOf<"email">, reached: readonly string[]): Email {
  const { server, port, security, username, password, from, to } = target;
  return {
    server,
    port,
    security,
    username,
    password,
    from,
    to: to.filter((address) => !reached.includes(address)),
    subject: cut(text.title, MAX_SUBJECT),
    text: `${cut(text.body === "" ? text.title : text.body, MAX_TEXT)}\n\n${event.type}, ${event.timestamp}\n`,
    messageId: `<${id}@${from.split("@").at(-1) ?? "holdfast"}>`,
    sentAt: event.timestamp,
  };
}
