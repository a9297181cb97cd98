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
  /** base64url SHA-256 of the raw public key. Enrolment tokens contain it. */
  readonly fingerprint: string;
  readonly privateKey: CryptoKey;
}

/** Sends one request to a third party. Follows no redirects, returns no response body, times out after 15 s. */
export type Post = (request: OutgoingRequest) => Promise<OutgoingAnswer>;

/** One e-mail and the SMTP server to send it through. */
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

/** The result of sending an e-mail. A server may accept it for some recipients only. */
export interface MailResult {
  readonly reached: readonly string[];
  /** The code of the last negative reply, or else of the last reply. */
  readonly status: number | null;
  /** Null when every recipient was accepted. */
  readonly error: string | null;
}

/** Sends one e-mail. Times out after 15 s, like Post. */
export type Mail = (email: Email) => Promise<MailResult>;

/**
 * The connected hosts and their sockets. Promises:
 * - A host has at most one connection: the newest wins, the older one is closed with CLOSE.replaced.
 * - A late close of an older connection does not remove the newer one.
 * - No state depends on it: any call may be lost, and none throws because a host is offline.
 */
export interface Hub {
  /** Pokes the host: it pulls now instead of at its next poll. */
  poke(host: Id, pull: "assignment" | "orders"): Promise<void>;
  /**
   * Asks the host whether it has that user.
   *
   * @returns null when it is not connected, its agent is too old to be asked, or no answer comes within seconds
   */
  ask(host: Id, about: { readonly user: string }): Promise<boolean | null>;
  /**
   * When the last frame came in on each host's open socket, in milliseconds since 1970. Without the hosts that have
   * none.
   */
  lastHeardAt(hosts: readonly Id[]): Promise<ReadonlyMap<Id, number>>;
  /** How many hosts a step of the sweep may ask for: on Workers each is a subrequest. */
  readonly mostAsked: number;
  /** Closes the host's socket at once. */
  disconnect(host: Id, why: keyof typeof CLOSE): Promise<void>;
}

export interface Config {
  /** Public origin, without a trailing slash: `http://127.0.0.1:7676`. `aud` of every agent's JWT. */
  readonly url: string;
  readonly version: string;
}

/** What another machine downloads to become a host, as `npm run package` made it. */
export interface AgentFiles {
  /** @returns the file's text; null when there is no package */
  read(name: "install.sh" | "SHA256SUMS"): Promise<string | null>;
}

/** The dependencies of every verb. Each runtime's main creates them. */
export interface Deps {
  readonly db: Database;
  readonly clock: { now(): number };
  readonly random: (bytes: number) => Uint8Array;
  readonly log: Log;
  readonly hub: Hub;
  readonly signingKey: SigningKey;
  /** The one that will take its place: agents pin it meanwhile. */
  readonly nextSigningKey?: SigningKey | null;
  readonly post: Post;
  /** Null when the runtime can't send e-mail. */
  readonly mail: Mail | null;
  readonly config: Config;
  readonly agentFiles: AgentFiles;
  /** Starts sending soon. Cheap; harmless when nothing is due. */
  readonly wakeOutbox: () => void;
}
