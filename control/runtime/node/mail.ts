import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createTransport } from "nodemailer";
import {
  GIVE_UP_AFTER_MS,
  type DestinationCheck,
  checkedLookup,
  checkLiteralAddress,
} from "../../../shared/node/outgoing.ts";
import type { Email, Mail, MailResult } from "../../deps.ts";

/** Makes the one way out for e-mail. @param withinMs for the whole exchange */
export function createMail(judge: DestinationCheck, withinMs = GIVE_UP_AFTER_MS): Mail {
  return async (email) => {
    const { server: host, port } = email;
    checkLiteralAddress(judge, host, port);
    const socket = connect({ host, port, lookup: checkedLookup(judge, port) });
    const deadline = setTimeout(
      () => socket.destroy(new Error(`not taken within ${Math.ceil(withinMs / 1000)} s`)),
      withinMs,
    );
    try {
      await once(socket, "connect");
      return await sendOver(email, socket);
    } finally {
      clearTimeout(deadline);
      socket.destroy();
    }
  };
}

/** What nodemailer throws. */
interface SmtpError extends Error {
  /** What the server said, and in `message` too. */
  readonly response?: string;
  readonly responseCode?: number;
  readonly code?: string;
}

async function sendOver(letter: Email, connection: Socket): Promise<MailResult> {
  const { server, port, security, username, password } = letter;
  const transport = createTransport({
    host: server,
    port,
    connection,
    secure: security === "tls",
    requireTLS: security === "starttls",
    ignoreTLS: security === "none",
    ...(username === null ? {} : { auth: { user: username, pass: password ?? "" } }),
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  try {
    const sent = await transport.sendMail({
      from: letter.from,
      to: [...letter.to],
      subject: letter.subject,
      text: letter.text,
      messageId: letter.messageId,
      date: new Date(letter.sentAt),
      headers: { "auto-submitted": "auto-generated" },
    });
    const refused = letter.to.filter((address) => !sent.accepted.some((one) => addressOf(one) === address));
    return mailResultOf(letter, refused, sent.rejectedErrors?.[0]?.responseCode ?? codeIn(sent.response));
  } catch (error) {
    const { message, response, responseCode, code = "no code" } = error as SmtpError;
    // What a server says may hold anything, and be no mail server's at all: its code says enough.
    if (responseCode !== undefined) return mailResultOf(letter, letter.to, responseCode);
    throw new Error(response === undefined ? message : `the server said something that is not understood (${code})`);
  }
}

function mailResultOf({ to }: Email, refused: readonly string[], status: number | null): MailResult {
  const error = refused.length === 0 ? null : `answered ${status}: not delivered to ${refused.join(", ")}`;
  return { reached: to.filter((address) => !refused.includes(address)), status, error };
}

function addressOf(address: string | { address: string }): string {
  return typeof address === "string" ? address : address.address;
}

function codeIn(response: string): number | null {
  const code = /^\d{3}/.exec(response)?.[0];
  return code === undefined ? null : Number(code);
}
