import { rootCertificates, setDefaultCACertificates } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { channels, deliveries } from "../../control/db/schema/notifications.ts";
import type { Email } from "../../control/deps.ts";
import { createChannel } from "../../control/domain/notifications/channels.ts";
import { dispatch } from "../../control/notify/dispatch.ts";
import { enqueue } from "../../control/notify/outbox.ts";
import { createMail } from "../../control/runtime/node/mail.ts";
import { createDestinationCheck } from "../../control/runtime/node/outgoing.ts";
import { CreateChannel } from "../../shared/channel.ts";
import { selfSigned, type SmtpServer, startSmtp } from "../support/smtp.ts";
import { ANYWHERE, heldDeps } from "./deps.ts";

async function smtpServer(...given: Parameters<typeof startSmtp>): Promise<SmtpServer> {
  const smtp = await startSmtp(...given);
  onTestFinished(() => smtp.stop());
  return smtp;
}

function letterTo({ port }: SmtpServer, change: Partial<Email> = {}): Email {
  return {
    server: "localhost",
    port,
    security: "none",
    username: null,
    password: null,
    from: "me@example.org",
    to: ["one@example.org"],
    subject: "Subject",
    text: "Text\n.\n..two dots\n",
    messageId: "<1@example.org>",
    sentAt: "2026-11-23T08:00:00.000Z",
    ...change,
  };
}

const send = createMail(ANYWHERE);

test("an e-mail arrives unchanged, also with leading dots, and is marked as automatic", async () => {
  const smtp = await smtpServer();
  expect(await send(letterTo(smtp))).toEqual({ reached: ["one@example.org"], status: 250, error: null });
  const [mail] = smtp.mails;
  expect(mail).toMatchObject({ from: "me@example.org", to: ["one@example.org"], isEncrypted: false, login: null });
  expect(mail?.text).toContain("Text\n.\n..two dots");
  expect(mail?.text).toMatch(/^Auto-Submitted: auto-generated$/im);
  expect(mail?.text).toMatch(/^Message-ID: <1@example\.org>$/im);
});

test("when a server accepts an e-mail for some recipients only, the others get it later, and nobody twice", async () => {
  const deps = await heldDeps();
  const smtp = await smtpServer();
  const to = ["one@example.org", "two@example.org", "three@example.org"];
  const fields = { server: "127.0.0.1", port: smtp.port, security: "none", from: "me@example.org", to };
  await createChannel(deps, CreateChannel.parse({ name: "mail", kind: "email", ...fields }));
  smtp.reply = (verb, address) =>
    verb === "RCPT" && !address.startsWith("one") ? "450 come back later, SECRET" : null;
  await deps.db.batch([enqueue(deps, { type: "run.failed", data: {} })]);
  await dispatch(deps);
  const delivery = async () => (await deps.db.select().from(deliveries))[0];
  expect(await delivery()).toMatchObject({ state: "pending", attempts: 1, lastStatus: 450 });
  expect((await delivery())?.lastError).toBe("answered 450: not delivered to two@example.org, three@example.org");

  smtp.reply = (verb, address) => (verb === "RCPT" && address.startsWith("three") ? "550 who?" : null);
  deps.clock.pass(6000);
  await dispatch(deps);
  expect(await delivery()).toMatchObject({ state: "pending", attempts: 2, lastStatus: 550 });
  smtp.reply = () => null;
  deps.clock.pass(600_000);
  await dispatch(deps);
  expect(await delivery()).toMatchObject({ state: "delivered", attempts: 3, lastError: null });
  expect(smtp.mails.map((mail) => mail.to)).toEqual([["one@example.org"], ["two@example.org"], ["three@example.org"]]);
  const ids = smtp.mails.map(({ text }) => /^Message-ID: (.*)$/im.exec(text)?.[1]);
  expect(new Set(ids)).toEqual(new Set([`<${(await delivery())?.id}@example.org>`]));
  expect(await deps.db.select().from(channels)).toMatchObject([{ failures: 0, lastStatus: 250 }]);
});

test("starttls requires encryption and a valid certificate: else neither password nor e-mail is sent", async () => {
  const login = { username: "me", password: "hunter2" };
  const plain = await smtpServer();
  const logins: string[] = [];
  plain.reply = (verb, argument) => {
    if (verb === "AUTH") logins.push(argument);
    return null;
  };
  await expect(send(letterTo(plain, { security: "starttls", ...login }))).resolves.toMatchObject({
    reached: [],
    status: 502,
  });
  const certificate = await selfSigned();
  const smtp = await smtpServer(certificate);
  await expect(send(letterTo(smtp, { security: "starttls", ...login }))).rejects.toThrow(/self-signed certificate/);
  expect([logins, plain.mails, smtp.mails]).toEqual([[], [], []]);

  setDefaultCACertificates([...rootCertificates, certificate.cert]);
  onTestFinished(() => setDefaultCACertificates([...rootCertificates]));
  expect(await send(letterTo(smtp, { security: "starttls", ...login }))).toMatchObject({ error: null });
  expect(smtp.mails).toMatchObject([{ isEncrypted: true, login: "me:hunter2" }]);
});

test.each(["greeting", "MAIL", "RCPT", "DATA", "AUTH"] as const)(
  "a refusal at %s keeps its code and no word of it",
  async (at) => {
    const smtp = await smtpServer();
    smtp.reply = (verb) => (verb === at ? "554 go away, nobody may read this" : null);
    const letter = letterTo(smtp, { username: "me", password: "hunter2" });
    const { reached, status, error } = await send(letter);
    expect({ reached, status, error }).toEqual({
      reached: [],
      status: 554,
      error: "answered 554: not delivered to one@example.org",
    });
    expect(smtp.mails).toEqual([]);
  },
);

test.each(["SSH-2.0-OpenSSH_9.2 nobody may read this", "HTTP/1.1 400 nobody may read this", "", "250-a\r\n554"])(
  "what is no mail server is not quoted: %j",
  async (banner) => {
    const smtp = await smtpServer();
    smtp.reply = (verb) => (verb === "greeting" ? banner : null);
    const outcome = await createMail(ANYWHERE, 200)(letterTo(smtp)).catch((error: Error) => error.message);
    expect(JSON.stringify(outcome)).not.toMatch(/nobody|OpenSSH|HTTP/);
    expect(smtp.mails).toEqual([]);
  },
);

test("a silent server times out, and a slow one too: the limit is for the whole exchange", async () => {
  const smtp = await smtpServer();
  smtp.reply = (verb) => (verb === "greeting" ? "220-more comes" : null);
  await expect(createMail(ANYWHERE, 50)(letterTo(smtp))).rejects.toThrow("not accepted within 1 s");
});

test("mail servers in private networks (if refused) and at cloud metadata addresses are rejected, in any notation", async () => {
  const smtp = await smtpServer();
  const publicOnly = createMail(createDestinationCheck({ private: "refuse", exceptions: [] }, null));
  for (const server of ["127.0.0.1", "localhost", "localhost.", "127.1", "::1", "::ffff:127.0.0.1", "0x7f000001"])
    await expect(publicOnly(letterTo(smtp, { server }))).rejects.toThrow(/private address range|ENOTFOUND/);
  await expect(send(letterTo(smtp, { server: "169.254.169.254" }))).rejects.toThrow("is a cloud metadata address");
  const own = createMail(createDestinationCheck({ private: "allow", exceptions: [] }, smtp.port));
  await expect(own(letterTo(smtp))).rejects.toThrow("the control plane itself");
  expect(smtp.mails).toEqual([]);
});
