import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext, TLSSocket } from "node:tls";
import { promisify } from "node:util";

export interface Mail {
  readonly from: string;
  readonly to: string[];
  /** As it came, dots undone, with its headers. */
  readonly text: string;
  readonly isEncrypted: boolean;
  /** `user:password`, when it was said. */
  readonly login: string | null;
}

/** A mail server that takes letters for whom the test says. */
export interface SmtpServer {
  readonly port: number;
  readonly mails: Mail[];
  /** The reply to RCPT for an address, or to the greeting, MAIL, DATA and a login; null: what a good server says. */
  reply: (verb: "greeting" | "MAIL" | "RCPT" | "DATA" | "AUTH", argument: string) => string | null;
  stop(): Promise<void>;
}

/** @param certificate given, it offers STARTTLS */
export async function startSmtp(certificate: Certificate | null = null): Promise<SmtpServer> {
  const mails: Mail[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    talk(socket, { isEncrypted: false });
  });
  const talk = (socket: Socket, { isEncrypted }: { isEncrypted: boolean }): void => {
    let rest = "";
    let from = "";
    let to: string[] = [];
    let login: string | null = null;
    let lines: string[] | null = null;
    const say = (text: string): void => void socket.write(`${text}\r\n`);
    const take = (line: string): void => {
      if (lines !== null) {
        if (line !== ".") return void lines.push(line.replace(/^\.\./, "."));
        mails.push({ from, to, text: lines.join("\n"), isEncrypted, login });
        lines = null;
        return say("250 taken");
      }
      const [verb = "", ...words] = line.split(" ");
      const argument = words.join(" ");
      switch (verb.toUpperCase()) {
        case "EHLO":
          if (certificate !== null && !isEncrypted) say("250-STARTTLS");
          return say("250 AUTH PLAIN");
        case "STARTTLS": {
          if (certificate === null) return say("502 what?");
          say("220 go on");
          socket.removeAllListeners("data");
          const secureContext = createSecureContext({ ...certificate });
          return talk(new TLSSocket(socket, { isServer: true, secureContext }), { isEncrypted: true });
        }
        case "AUTH":
          login = Buffer.from(words[1] ?? "", "base64")
            .toString("utf8")
            .replace(/^\0/, "")
            .replace("\0", ":");
          return say(smtp.reply("AUTH", login) ?? "235 welcome");
        case "MAIL":
          from = addressIn(argument);
          to = [];
          return say(smtp.reply("MAIL", from) ?? "250 fine");
        case "RCPT": {
          const reply = smtp.reply("RCPT", addressIn(argument)) ?? "250 fine";
          if (reply.startsWith("2")) to.push(addressIn(argument));
          return say(reply);
        }
        case "DATA": {
          const reply = smtp.reply("DATA", "");
          if (reply === null) lines = [];
          return say(reply ?? "354 go on");
        }
        case "QUIT":
          say("221 bye");
          return void socket.end();
        default:
          return say("250 fine");
      }
    };
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      rest += chunk.toString("utf8");
      for (let end = rest.indexOf("\r\n"); end >= 0; end = rest.indexOf("\r\n")) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 2);
        take(line);
      }
    });
    if (!isEncrypted) say(smtp.reply("greeting", "") ?? "220 mail.test");
  };
  await once(server.listen(0, "127.0.0.1"), "listening");
  const smtp: SmtpServer = {
    port: (server.address() as AddressInfo).port,
    mails,
    reply: () => null,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return smtp;
}

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** A certificate for `localhost`, made now and signed by nobody. */
export async function selfSigned(): Promise<Certificate> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-smtp-"));
  try {
    const [key, cert] = [join(directory, "key"), join(directory, "cert")];
    const made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    await promisify(execFile)("openssl", [...made, "-subj", "/CN=localhost", "-keyout", key, "-out", cert]);
    return { key: await readFile(key, "utf8"), cert: await readFile(cert, "utf8") };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function addressIn(argument: string): string {
  return /<([^>]*)>/.exec(argument)?.[1] ?? "";
}
