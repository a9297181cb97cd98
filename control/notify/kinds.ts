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

/** Every kind of channel that is one HTTP request: all but e-mail (kinds/email.ts). */
export type HttpTarget = Exclude<ChannelTarget, { kind: "email" }>;

/**
 * Builds the HTTP request that sends a message to a channel. The control plane or an agent sends it.
 * @param secrets signing secrets of a webhook; unused by other kinds
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
