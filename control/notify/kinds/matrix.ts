import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { jsonRequest, type Message, type TargetOf, under } from "../message.ts";
import { cutBytes } from "../text.ts";

/** An event may have 64 KiB, including what the server adds. */
const MAX_BYTES = 16_000;

/**
 * https://spec.matrix.org/latest/client-server-api/#sending-events-to-a-room.
 * The delivery's id is the transaction id, so a retry creates no second message.
 */
export function matrixRequest(
  { id, text: { title, body } }: Message,
  { url, room, token }: TargetOf<"matrix">,
): OutgoingRequest {
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.message/${id}`;
  const text = body === "" ? title : `${title}\n\n${body}`;
  return jsonRequest(
    under(url, path),
    // Clients show no notification for m.notice.
    { msgtype: "m.text", body: cutBytes(text, MAX_BYTES) },
    { method: "PUT", headers: { authorization: `Bearer ${token}` } },
  );
}
