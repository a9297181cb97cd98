import type { OutgoingRequest } from "../../../shared/outgoing.ts";
import { jsonRequest, type Message, type TargetOf, under } from "../message.ts";
import { cutBytes } from "../text.ts";

/** A whole event may have 64 KiB, with what the server adds. */
const MOST_BYTES = 16_000;

/** https://spec.matrix.org/latest/client-server-api/#sending-events-to-a-room. The delivery's id makes a second attempt the same message. */
export function matrixRequest({ id, text: words }: Message, { url, room, token }: TargetOf<"matrix">): OutgoingRequest {
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.message/${id}`;
  const text = words.body === "" ? words.title : `${words.title}\n\n${words.body}`;
  return jsonRequest(
    under(url, path),
    // m.notice would ring nobody's bell.
    { msgtype: "m.text", body: cutBytes(text, MOST_BYTES) },
    { method: "PUT", headers: { authorization: `Bearer ${token}` } },
  );
}
