import * as z from "zod";
import { HostApproval, Level, MAX_APPROVALS } from "./approval.ts";
import { HookName } from "./contract.ts";
import { DeclarationFault } from "./declaration.ts";
import { Id, Instant, Labels, Name } from "./ids.ts";
import { Recipient } from "./sealed.ts";
import { AssignedRepositorySpec } from "./repository.ts";

export const EngineFacts = z.strictObject({
  provider: z.enum(["restic", "borg"]),
  version: z.string().max(64),
  path: z.string().max(4096),
  fault: z.string().max(1000).nullable().default(null).describe("why it can't be used; null when it can"),
});
export type EngineFacts = z.infer<typeof EngineFacts>;

/** A lasting problem on the host that a person has to look at. It is over when the agent no longer reports it. */
export const HostTrouble = z.strictObject({
  code: z.enum([
    "spool.damaged",
    "spool.full",
    "assignment.damaged",
    "state.damaged",
    "disk.full",
    "policy.invalid",
    "audit.rewritten",
  ]),
  subject: z.string().min(1).max(512).describe("which file or directory"),
  message: z.string().max(1000).describe("what happened and what to do"),
});
export type HostTrouble = z.infer<typeof HostTrouble>;

/** An agent's facts about its host, sent at enrolment and with every change. */
export const HostFacts = z.strictObject({
  hostname: z.string().max(253),
  os: z.string().max(256).describe("as in /etc/os-release PRETTY_NAME"),
  arch: z.string().max(32),
  agentVersion: z.string().max(64),
  zone: z.string().max(64).describe("IANA time zone of the host"),
  runsAs: z.string().max(64).describe("the user the agent runs as"),
  users: z.array(z.string().max(64)).max(5000).describe("names of the host's users; empty: not known"),
  engines: z.array(EngineFacts).max(16),
  hooksPolicy: z.enum(["off", "named", "inline"]),
  hooks: z.array(z.string().max(128)).max(1000).describe("names in the host's hooks.d"),
  troubles: z.array(HostTrouble).max(100).default([]),
  nextControlKey: z
    .string()
    .max(64)
    .nullable()
    .default(null)
    .describe("the control plane's next signing key, as far as the host has pinned it"),
  level: Level.nullable()
    .default(null)
    .describe("how far the host trusts this control plane; null: an agent before 0.2"),
  approvals: z.array(HostApproval).max(MAX_APPROVALS).default([]).describe("what waits for root on the host"),
  recipient: Recipient.nullable()
    .default(null)
    .describe("the host's age recipient: what is sealed to it only its agent can read; null: it has none"),
});
export type HostFacts = z.infer<typeof HostFacts>;

/** A process of an agent that used a host's key: a random id made when it started. */
export const Instance = z.strictObject({
  id: z.string().max(64).describe("`holdfast-agent status` shows the same; empty: an agent that sends none"),
  since: Instant.describe("when it was first seen"),
  seenAt: Instant,
  address: z.string().max(64).nullable().describe("where its last request came from; null: not known"),
});
export type Instance = z.infer<typeof Instance>;

/** Which processes use a host's key. A process that started after another one, on the same disk, takes its place. */
export const HostInstances = z.strictObject({
  current: Instance,
  rival: Instance.nullable().describe("another one that did not start after it: maybe a clone"),
  contestedAt: Instant.nullable().describe("since when both are known to be there; null: they are not"),
  refused: z.array(z.string()).describe("those that an owner said are not this host"),
});
export type HostInstances = z.infer<typeof HostInstances>;

/**
 * An agent without a socket polls every five minutes: with less than ten, it would count as offline while it is there.
 */
const OfflineAfter = z
  .int()
  .min(600)
  .max(30 * 86_400)
  .nullable()
  .describe("not heard from for longer than this, it is offline; null: never");

export const Host = z.strictObject({
  id: Id,
  name: Name,
  facts: HostFacts.nullable(),
  declarationFaults: z.array(DeclarationFault).describe("files in its contracts.d that are not applied, and why"),
  revision: z.int().describe("of its newest assignment"),
  labels: Labels,
  online: z.boolean().describe("has a socket open now"),
  connectedAt: Instant.nullable(),
  lastSeenAt: Instant.nullable(),
  offlineAfterSeconds: OfflineAfter,
  clockSkewMs: z.int().nullable().describe("how far its clock is ahead of the control plane's, as last measured"),
  instances: HostInstances.nullable().describe("which processes of its agent use its key; null: it names none"),
  revokedAt: Instant.nullable(),
  createdAt: Instant,
});
export type Host = z.infer<typeof Host>;

export const ChangeHost = z
  .strictObject({
    name: Name,
    labels: Labels,
    offlineAfterSeconds: OfflineAfter,
    revoked: z.literal(true).describe("for good: the host must enrol again"),
    accept: z.string().min(1).max(64).describe("of two machines that use its key, the instance that is this host"),
  })
  .partial()
  .refine((change) => Object.keys(change).length > 0, "must change something");
export type ChangeHost = z.infer<typeof ChangeHost>;

/** The most things of a kind that one line of installation grants. */
const MAX_GRANTS = 50;

export const CreateEnrollment = z.strictObject({
  name: Name.optional().describe("the name the host will have; default: its hostname"),
  replaces: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .describe("id or name of the host whose place the machine takes: its name, contracts, bindings and history"),
  uses: z.int().min(1).max(1000).default(1),
  expiresInSeconds: z
    .int()
    .min(1)
    .max(30 * 86_400)
    .default(3600),
  level: Level.optional().describe("how far the host will trust this control plane; default: guarded"),
  repositories: z
    .array(Name)
    .max(MAX_GRANTS)
    .default([])
    .describe("names of repositories whose place and secrets the installation grants on the host"),
  hooks: z
    .array(z.string().regex(HookName, "must be the name of a file in hooks.d"))
    .max(MAX_GRANTS)
    .default([])
    .describe("names of hooks in the host's hooks.d that the installation grants"),
});
export type CreateEnrollment = z.infer<typeof CreateEnrollment>;

export const Enrollment = z.strictObject({
  id: Id,
  name: Name.nullable(),
  uses: z.int(),
  usesLeft: z.int(),
  replaces: Id.nullable().describe("the host whose place the machine takes; null: a new host"),
  repositories: z.array(Name).describe("what the installation may grant on the host"),
  expiresAt: Instant,
  createdAt: Instant,
});
export type Enrollment = z.infer<typeof Enrollment>;

/** The only response with the token: just its hash is stored. */
export const EnrollmentCreated = Enrollment.extend({
  token: z.string(),
  command: z.string().describe("what to paste on the new host"),
});

/**
 * `hfe.SECRET.FINGERPRINT` or `hfe.SECRET.FINGERPRINT.DIGEST`: the secret; base64url SHA-256 of the control plane's raw
 * signing key, which the agent pins; hex SHA-256 of /install/SHA256SUMS, which install.sh checks before it runs
 * anything.
 */
export const EnrollmentToken = z
  .string()
  .regex(/^hfe\.[A-Za-z0-9_-]{43}\.[A-Za-z0-9_-]{43}(\.[0-9a-f]{64})?$/, "must be an enrolment token (hfe.…), whole");

export const EnrollRequest = z.strictObject({
  token: EnrollmentToken,
  publicKey: z.string().regex(/^[A-Za-z0-9_-]{43}$/, "must be a raw Ed25519 public key in base64url"),
  facts: HostFacts,
  repositories: z
    .array(Name)
    .max(MAX_GRANTS)
    .default([])
    .describe("names in the pasted line that root grants; the answer says what they are"),
});
export type EnrollRequest = z.infer<typeof EnrollRequest>;

/** Payload of the JWS in the answer to `POST /agent/v1/enroll`. */
export const Enrolment = z.strictObject({
  host: Id,
  name: Name,
  audience: z.string().describe("`aud` of every JWT the agent makes: the control plane's origin"),
  controlKey: z.string().describe("the control plane's raw Ed25519 public key in base64url"),
  publicKey: z.string().describe("the host's own key, as it was sent"),
  repositories: z
    .array(AssignedRepositorySpec)
    .max(MAX_GRANTS)
    .optional()
    .describe("the repositories the request named, as they are now; left out when it named none"),
});
export type Enrolment = z.infer<typeof Enrolment>;
