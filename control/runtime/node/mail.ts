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

/** Creates the only way to send e-mail. @param withinMs time limit of the whole exchange */
export function createMail(check: DestinationCheck, withinMs = GIVE_UP_AFTER_MS): Mail {
  return async (email) => {
    const { server: host, port } = email;
    checkLiteralAddress(check, host, port);
    const socket = connect({ host, port, lookup: checkedLookup(check, port) });
    const deadline = setTimeout(
      () => socket.destroy(new Error(`not accepted within ${Math.ceil(withinMs / 1000)} s`)),
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
  /** The server's reply, which `message` contains too. */
  readonly response?: string;
  readonly responseCode?: number;
  readonly code?: string;
}

async function sendOver(email: Email, connection: Socket): Promise<MailResult> {
  const { server, port, security, username, password } = email;
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
      from: email.from,
      to: [...email.to],
      subject: email.subject,
      text: email.text,
      messageId: email.messageId,
      date: new Date(email.sentAt),
      headers: { "auto-submitted": "auto-generated" },
    });
    const refused = email.to.filter((address) => !sent.accepted.some((one) => addressOf(one) === address));
    return mailResultOf(email, refused, sent.rejectedErrors?.[0]?.responseCode ?? codeIn(sent.response));
  } catch (error) {
    const { message, response, responseCode, code = "no code" } = error as SmtpError;
    // Only the code: the reply is text of a stranger, maybe not even of a mail server.
    if (responseCode !== undefined) return mailResultOf(email, email.to, responseCode);
    throw new Error(response === undefined ? message : `unexpected SMTP answer (${code})`);
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
