import { Webhook } from "standardwebhooks";
import { expect, onTestFinished } from "vitest";
import { channelSuite, type Service } from "../suites/channel.suite.ts";
import { type Mail, startSmtp } from "../support/smtp.ts";
import { type HttpReceiver, httpReceiver } from "./http-receiver.ts";

const KEY = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

type Request = HttpReceiver["requests"][number];

/** A service that takes one HTTP request per message. */
async function overHttp(input: {
  fields: (origin: string) => Record<string, unknown>;
  /** Throws for what the service would refuse. @returns what a person sees */
  read: (request: Request) => string;
  id?: (request: Request) => string;
  change?: { field: string; value: (origin: string) => string; used: (request: Request) => string };
}): Promise<Service> {
  const receiver = await httpReceiver();
  receiver.answer(200);
  const origin = receiver.url.replace(/\/hook$/, "");
  const { change } = input;
  const value = change?.value(origin) ?? "";
  return {
    fields: input.fields(origin),
    seen: () => receiver.requests.map(input.read),
    ids: () => (input.id === undefined ? [] : receiver.requests.map(input.id)),
    answer: (status) => receiver.answer(status ?? 200, {}, "nobody may read this"),
    change:
      change === undefined
        ? null
        : {
            field: change.field,
            value,
            wasUsed: () => value.includes(change.used(receiver.requests.at(-1) ?? expect.fail("nothing came"))),
          },
  };
}

function json({ headers, body }: Request): Record<string, unknown> {
  expect(headers["content-type"]).toBe("application/json");
  return JSON.parse(body) as Record<string, unknown>;
}

function text(value: unknown, most: number): string {
  expect(typeof value).toBe("string");
  expect(String(value).length).toBeGreaterThan(0);
  expect(String(value).length).toBeLessThanOrEqual(most);
  return String(value);
}

channelSuite("webhook", () =>
  overHttp({
    fields: (origin) => ({ url: `${origin}/any`, secret: KEY }),
    read: readWebhook,
    id: ({ headers }) => String(headers["webhook-id"]),
  }),
);

channelSuite("ntfy", () =>
  overHttp({
    fields: (origin) => ({ url: origin, topic: "backups", token: "tk_SECRET" }),
    read: readNtfy,
    change: {
      field: "token",
      value: () => "tk_NEW",
      used: ({ headers }) => String(headers.authorization).slice("Bearer ".length),
    },
  }),
);

channelSuite("gotify", () =>
  overHttp({
    fields: (origin) => ({ url: `${origin}/gotify/`, token: "SECRETa" }),
    read: readGotify,
    change: { field: "token", value: () => "NEWb", used: ({ headers }) => String(headers["x-gotify-key"]) },
  }),
);

channelSuite("discord", () =>
  overHttp({
    fields: (origin) => ({ url: `${origin}/api/webhooks/1/SECRET` }),
    read: readDiscord,
    change: { field: "url", value: (origin) => `${origin}/api/webhooks/2/NEW`, used: ({ path }) => path },
  }),
);

channelSuite("slack", () =>
  overHttp({
    fields: (origin) => ({ url: `${origin}/services/SECRET` }),
    read: readSlack,
    change: { field: "url", value: (origin) => `${origin}/services/NEW`, used: ({ path }) => path },
  }),
);

channelSuite("telegram", () =>
  overHttp({
    fields: (origin) => ({ url: origin, token: "123:SECRET", chat: "-100200" }),
    read: readTelegram,
    change: { field: "token", value: () => "456:NEW", used: ({ path }) => path.replace(/^\/bot|\/sendMessage$/g, "") },
  }),
);

channelSuite("matrix", () =>
  overHttp({
    fields: (origin) => ({ url: origin, room: "!room:example.org", token: "SECRETm" }),
    read: readMatrix,
    id: ({ path }) => path,
    change: {
      field: "token",
      value: () => "NEWm",
      used: ({ headers }) => String(headers.authorization).slice("Bearer ".length),
    },
  }),
);

channelSuite("pushover", () =>
  overHttp({
    fields: (origin) => ({ url: origin, token: "SECRETapp", user: "SECRETuser" }),
    read: readPushover,
    change: { field: "user", value: () => "NEWu", used: ({ body }) => String(new URLSearchParams(body).get("user")) },
  }),
);

channelSuite("email", async () => {
  const smtp = await startSmtp();
  onTestFinished(() => smtp.stop());
  return {
    fields: {
      server: "127.0.0.1",
      port: smtp.port,
      security: "none",
      username: "me",
      password: "SECRETp",
      from: "holdfast@example.org",
      to: ["one@example.org", "two@example.org"],
    },
    seen: () => smtp.mails.map(readMail),
    ids: () => smtp.mails.map(({ text: mail }) => header(mail, "message-id")),
    answer: (status) => {
      smtp.reply = (verb) => (verb === "DATA" && status !== null ? `${status} nobody may read this` : null);
    },
    change: { field: "password", value: "NEWp", wasUsed: () => smtp.mails.at(-1)?.login === "me:NEWp" },
  };
});

function readWebhook({ headers, body }: Request): string {
  const id = String(headers["webhook-id"]);
  const signature = String(headers["webhook-signature"]);
  expect(headers["webhook-timestamp"]).toMatch(/^\d{10}$/);
  const at = new Date(Number(headers["webhook-timestamp"]) * 1000);
  expect(signature).toBe(new Webhook(KEY).sign(id, at, body));
  return body;
}

function readNtfy(request: Request): string {
  const { topic, title, message, priority, tags } = json(request);
  expect([request.method, request.path, topic]).toEqual(["POST", "/", "backups"]);
  expect(request.headers.authorization).toMatch(/^Bearer tk_/);
  expect([3, 4]).toContain(priority);
  expect(tags).toHaveLength(1);
  expect(Buffer.byteLength(String(message))).toBeLessThanOrEqual(4096);
  return `${text(title, 250)}\n${text(message, 4096)}`;
}

function readGotify(request: Request): string {
  const { title, message, priority } = json(request);
  expect([request.method, request.path]).toEqual(["POST", "/gotify/message"]);
  expect(request.headers["x-gotify-key"]).toBe("SECRETa");
  expect(priority).toBeGreaterThan(3);
  return `${text(title, 250)}\n${text(message, 8000)}`;
}

function readDiscord(request: Request): string {
  const { embeds, allowed_mentions: mentions, content } = json(request);
  expect([request.method, content, mentions]).toEqual(["POST", undefined, { parse: [] }]);
  const [embed, ...others] = embeds as Record<string, unknown>[];
  expect(others).toEqual([]);
  const shown = [text(embed?.["title"], 256), text(embed?.["description"], 4096)].join("\n");
  expect(shown.length).toBeLessThanOrEqual(6000);
  // Nothing of it is markup: every character that could be is escaped.
  expect(shown.replace(/\\[\\`*_~|[\]<>#@]/g, "")).not.toMatch(/[`*_~|[\]<>#@]/);
  return shown.replace(/\\(.)/g, "$1");
}

function readSlack(request: Request): string {
  const shown = text(json(request)["text"], 40_000);
  expect(json(request)["mrkdwn"]).toBe(false);
  expect(shown).not.toMatch(/[<>]|&(?!amp;|lt;|gt;)/);
  return shown.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

function readTelegram(request: Request): string {
  const { chat_id: chat, text: shown, parse_mode: mode } = json(request);
  expect([request.method, request.path, chat]).toEqual(["POST", "/bot123:SECRET/sendMessage", "-100200"]);
  expect(mode).toBeUndefined();
  return text(shown, 4096);
}

function readMatrix(request: Request): string {
  const { msgtype, body } = json(request);
  expect([request.method, msgtype]).toEqual(["PUT", "m.text"]);
  expect(request.path).toMatch(
    /^\/_matrix\/client\/v3\/rooms\/!room%3Aexample\.org\/send\/m\.room\.message\/[0-9a-f-]{36}$/,
  );
  expect(request.headers.authorization).toBe("Bearer SECRETm");
  expect(Buffer.byteLength(request.body)).toBeLessThan(60_000);
  return text(body, 16_000);
}

function readPushover({ method, path, headers, body }: Request): string {
  expect([method, path]).toEqual(["POST", "/1/messages.json"]);
  expect(headers["content-type"]).toBe("application/x-www-form-urlencoded");
  const fields = Object.fromEntries(new URLSearchParams(body));
  expect(fields).toMatchObject({ token: "SECRETapp", user: "SECRETuser" });
  expect(["0", "1"]).toContain(fields["priority"]);
  expect(fields["timestamp"]).toMatch(/^\d{10}$/);
  return `${text(fields["title"], 250)}\n${text(fields["message"], 1024)}`;
}

function readMail(mail: Mail): string {
  expect(mail).toMatchObject({ from: "holdfast@example.org", to: ["one@example.org", "two@example.org"] });
  const [headers = "", ...body] = mail.text.split("\n\n");
  expect(headers).not.toMatch(/^(bcc|cc):/im);
  expect(header(headers, "message-id")).toMatch(/^<[0-9a-f-]{36}@example\.org>$/);
  for (const line of mail.text.split("\n")) expect(line.length).toBeLessThan(998);
  const isCoded = /quoted-printable/i.test(headers);
  const plain = isCoded ? unquoted(body.join("\n\n")) : unbased(headers, body.join("\n\n"));
  return `${decodedHeader(header(headers, "subject"))}\n${plain}`.replaceAll("\r", "");
}

function header(mail: string, name: string): string {
  return new RegExp(`^${name}: (.*(?:\n[ \t].*)*)`, "im").exec(mail)?.[1] ?? "";
}

function unquoted(body: string): string {
  const bytes = body
    .replace(/=\n/g, "")
    .replace(/=([0-9A-F]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString("utf8");
}

function unbased(headers: string, body: string): string {
  return /base64/i.test(headers) ? Buffer.from(body, "base64").toString("utf8") : body;
}

/** RFC 2047. */
function decodedHeader(value: string): string {
  const bytes = value
    .replace(/\?=\n[ \t]=\?/g, "?==?")
    .replace(/\n[ \t]/g, " ")
    .replace(/=\?utf-8\?([qb])\?([^?]*)\?=/gi, (_all, coding: string, coded: string) =>
      coding.toLowerCase() === "b"
        ? Buffer.from(coded, "base64").toString("latin1")
        : coded
            .replaceAll("_", " ")
            .replace(/=([0-9A-F]{2})/g, (_code, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    );
  return Buffer.from(bytes, "latin1").toString("utf8");
}
