import { messageOf } from "../../shared/error-message.ts";
import type { channels, deliveries } from "../db/schema/notifications.ts";
import type { Deps } from "../deps.ts";
import { openSecret, openTarget } from "../keys/channel-secrets.ts";
import { requestOf } from "./kinds.ts";
import { buildEmail } from "./kinds/email.ts";
import type { Message } from "./message.ts";
import { type DeliveryResult, statusError } from "./delivery-result.ts";
import { messageTextOf } from "./message-text.ts";

type Channel = typeof channels.$inferSelect;
type Delivery = typeof deliveries.$inferSelect;

/** Attempts to send a delivery to its channel. Never throws: the result holds the error. */
export async function send(deps: Deps, delivery: Delivery, channel: Channel): Promise<DeliveryResult> {
  const message = buildMessage(delivery, deps.clock.now());
  try {
    const target = await openTarget(deps, channel);
    if (target.kind === "email") {
      if (deps.mail === null) return { status: null, error: "e-mail needs the control plane on Node" };
      const before = delivery.reached ?? [];
      const email = buildEmail(message, target, before);
      // The recipients who were missing were removed from the channel.
      if (email.to.length === 0) return { status: delivery.lastStatus, error: null };
      const { reached, ...result } = await deps.mail(email);
      return { ...result, reached: [...new Set([...before, ...reached])] };
    }
    const { status, retryAfterSeconds = 0 } = await deps.post(
      await requestOf(message, target, await secretsOf(deps, channel, message.at)),
    );
    return { status, error: statusError(status), retryAfterSeconds };
  } catch (error) {
    return { status: null, error: messageOf(error) };
  }
}

export function buildMessage({ id, payload }: Pick<Delivery, "id" | "payload">, at: number): Message {
  return { id, at, event: payload, text: messageTextOf(payload) };
}

/** @returns a webhook's signing secrets, newest first; the previous one until it expires */
export async function secretsOf(deps: Pick<Deps, "signingKey">, channel: Channel, now: number): Promise<string[]> {
  const { secret, previousSecret, previousSecretUntil } = channel;
  const isPreviousValid = previousSecretUntil !== null && Date.parse(previousSecretUntil) > now;
  const valid = [secret, isPreviousValid ? previousSecret : null].filter((one) => one !== null);
  return Promise.all(valid.map((sealed) => openSecret(deps, channel.id, sealed)));
}
