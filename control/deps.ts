import type { Database } from "./db/transaction.ts";
import type { Id, Instant } from "../shared/ids.ts";
import type { OutgoingAnswer, OutgoingRequest } from "../shared/outgoing.ts";
import type { CLOSE } from "../shared/protocol.ts";

export interface Log {
  info(message: string, facts?: Record<string, unknown>): void;
  error(message: string, facts?: Record<string, unknown>): void;
}

/** The control plane's own Ed25519 key: agents pin its public half at enrolment. */
export interface SigningKey {
  /** Raw public key, base64url. */
  readonly publicKey: string;
  /** base64url SHA-256 of the raw public key: what an enrolment token carries. */
  readonly fingerprint: string;
  readonly privateKey: CryptoKey;
}

/** One request to somebody outside. Never follows a redirect, never hands out the answer's body, gives up after 15 s. */
export type Post = (request: OutgoingRequest) => Promise<OutgoingAnswer>;

/** One e-mail, and the server that takes it. */
export interface Email {
  readonly server: string;
  readonly port: number;
  readonly security: "starttls" | "tls" | "none";
  readonly username: string | null;
  readonly password: string | null;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
  /** With its angle brackets; the same on every attempt. */
  readonly messageId: string;
  readonly sentAt: Instant;
}

/** What became of a letter, by recipient: a server may take it for some of them only. */
export interface MailResult {
  readonly reached: readonly string[];
  /** The code of the last reply that was a refusal, or else of the last one. */
  readonly status: number | null;
  /** Null when everybody was reached. */
  readonly error: string | null;
}

/** Hands one letter to its server. Gives up after 15 s, like Post. */
export type Mail = (letter: Email) => Promise<MailResult>;

/**
 * The connected hosts, whatever holds their sockets. Promises:
 * - a host has at most one connection: the newest wins, the older one is closed with CLOSE.replaced;
 * - the late close of an older connection never takes the newer one away;
 * - nothing here is needed for the truth: every call may be lost, none throws because a host is away.
 */
export interface Hub {
  /** Rings the doorbell: the host pulls now instead of at its next poll. */
  poke(host: Id, pull: "assignment" | "orders"): Promise<void>;
  /** When its open socket last gave a sign of life, in milliseconds since 1970; null when none is open. */
  lastHeardAt(host: Id): Promise<number | null>;
  /** Closes the host's socket at once. */
  disconnect(host: Id, why: keyof typeof CLOSE): Promise<void>;
}

export interface Config {
  /** Public origin, without a trailing slash: `http://127.0.0.1:7676`. `aud` of every agent's JWT. */
  readonly url: string;
  /** Hex SHA-256 of /install/SHA256SUMS, or null when no agent files were built. */
  readonly installDigest: string | null;
  readonly version: string;
}

/** What every verb is handed. Wired by hand in a runtime's main, never reached for. */
export interface Deps {
  readonly db: Database;
  readonly clock: { now(): number };
  readonly random: (bytes: number) => Uint8Array;
  readonly log: Log;
  readonly hub: Hub;
  readonly signingKey: SigningKey;
  readonly post: Post;
  /** Null where no e-mail can be sent from. */
  readonly mail: Mail | null;
  readonly config: Config;
  /** Says that the outbox has something new to send. Cheap; may be called when it has not. */
  readonly wakeOutbox: () => void;
}
