import type { ChannelTarget } from "../../shared/channel.ts";
import type { OutgoingRequest } from "../../shared/outgoing.ts";
import { discordRequest } from "./kinds/discord.ts";
import { gotifyRequest } from "./kinds/gotify.ts";
import { matrixRequest } from "./kinds/matrix.ts";
import { ntfyRequest } from "./kinds/ntfy.ts";
import { pushoverRequest } from "./kinds/pushover.ts";
import { slackRequest } from "./kinds/slack.ts";
import { telegramRequest } from "./kinds/telegram.ts";
import { webhookRequest } from "./kinds/webhook.ts";
import type { Message } from "./message.ts";

/** A channel that one HTTP request reaches; e-mail is the other way, kinds/email.ts. */
export type HttpTarget = Exclude<ChannelTarget, { kind: "email" }>;

/**
 * The one request that brings a message to a channel, whoever sends it.
 * @param secrets of a webhook: what it is signed with
 */
export async function requestOf(
  message: Message,
  target: HttpTarget,
  secrets: readonly string[],
): Promise<OutgoingRequest> {
  switch (target.kind) {
    case "webhook":
      return webhookRequest(message, target, secrets);
    case "ntfy":
      return ntfyRequest(message, target);
    case "gotify":
      return gotifyRequest(message, target);
    case "discord":
      return discordRequest(message, target);
    case "slack":
      return slackRequest(message, target);
    case "telegram":
      return telegramRequest(message, target);
    case "matrix":
      return matrixRequest(message, target);
    case "pushover":
      return pushoverRequest(message, target);
  }
}
