import * as z from "zod";
import { AbsolutePath, Id, Instant, Name } from "./ids.ts";
import { DatabaseContract, FilesContract } from "./contract.ts";
import { Settings } from "./binding.ts";
import { AssignedRepositorySpec } from "./repository.ts";

/** `declared`: from a file of the host's own root, which the agent checks against that file. */
const AssignedContract = z.discriminatedUnion("kind", [
  FilesContract.extend({ id: Id, name: Name, declared: z.boolean().default(false) }),
  DatabaseContract.extend({ id: Id, name: Name, declared: z.boolean().default(false) }),
]);

const AssignedBinding = z.strictObject({
  id: Id,
  name: Name,
  contract: Id,
  repository: Id,
  paused: z.boolean(),
  settings: Settings,
});

/** No assignment has a higher number; it fits an ETag. */
export const MAX_REVISION = 10 ** 12;

/**
 * How far one assignment may be ahead of the one a host has, or of the seconds since 1970, which a control plane counts
 * from once it was restored. Each change is one step; who had the signing key for a moment must not be able to number
 * the host out of the honest control plane's reach.
 */
export const MAX_REVISION_STEP = 1_000_000;

/** Everything one host has to do, complete in itself. Sent as the payload of a JWS signed by the control plane. */
export const Assignment = z.strictObject({
  protocol: z.literal(1),
  host: Id,
  revision: z.int().min(0).max(MAX_REVISION).describe("grows with every change; an agent never accepts an older one"),
  issuedAt: Instant,
  contracts: z.array(AssignedContract),
  repositories: z.array(AssignedRepositorySpec),
  bindings: z.array(AssignedBinding),
});
export type Assignment = z.infer<typeof Assignment>;
export type AssignedContract = Assignment["contracts"][number];
export type AssignedContractInput = z.input<typeof AssignedContract>;
export type AssignedRepository = Assignment["repositories"][number];
export type AssignedBinding = Assignment["bindings"][number];

/** `typ` in the header of each kind of JWS, so that one kind is never accepted as another. */
export const JWS_TYPES = {
  assignment: "holdfast-assignment+jws",
  order: "holdfast-order+jws",
  enrolment: "holdfast-enrolment+jws",
  probes: "holdfast-probes+jws",
  delivery: "holdfast-delivery+jws",
  checkpoint: "holdfast-checkpoint+jws",
  head: "holdfast-head+jws",
  agent: "holdfast-agent+jwt",
  nextKey: "holdfast-next-key+jws",
  hostKey: "holdfast-host-key+jws",
} as const;

const ordered = { id: Id, host: Id, issuedAt: Instant, expiresAt: Instant };

/** What to restore, and where to. Paths in `include` are absolute, as in the snapshot. */
export const RestoreRequest = z.strictObject({
  snapshot: z.string().regex(/^([0-9a-f]{8,64}|latest)$/, "must be a snapshot's id or 'latest'"),
  target: AbsolutePath.nullable().default(null).describe("a directory on the host; null: in place"),
  include: z.array(AbsolutePath).max(1000).default([]).describe("only these paths; empty: everything"),
  overwrite: z
    .enum(["always", "if-changed", "if-newer", "never"])
    .default("always")
    .describe("what happens to a file that exists already"),
  delete: z
    .boolean()
    .default(false)
    .describe("true: entries that the snapshot does not have are removed, so that the result is exactly the snapshot"),
  dryRun: z.boolean().default(false).describe("true: only list what would change"),
  verify: z
    .boolean()
    .default(true)
    .describe("after a restore in place: compare every file with the snapshot; reads all data again"),
});
export type RestoreRequest = z.infer<typeof RestoreRequest>;
export type RestoreRequestInput = z.input<typeof RestoreRequest>;

/** What a host needs to restore another host's binding: access to the repository, not the data. */
export const ForeignBinding = z.strictObject({
  host: Id.describe("whose snapshots they are"),
  binding: AssignedBinding,
  contract: AssignedContract,
  repository: AssignedRepositorySpec,
});
export type ForeignBinding = z.infer<typeof ForeignBinding>;
export type ForeignBindingInput = z.input<typeof ForeignBinding>;

/** A one-off instruction, signed like an assignment. The id of an order that starts a run is the run's id. */
export const Order = z.discriminatedUnion("kind", [
  z.strictObject({ ...ordered, kind: z.literal("backup"), binding: Id }),
  z.strictObject({
    ...ordered,
    kind: z.literal("restore"),
    binding: Id,
    restore: RestoreRequest,
    from: ForeignBinding.nullable().default(null).describe("null: the binding is the host's own"),
  }),
  z.strictObject({
    ...ordered,
    kind: z.literal("forget"),
    binding: Id,
    dryRun: z.boolean(),
    from: ForeignBinding.nullable()
      .default(null)
      .describe(
        "another host's binding, for the host that maintains its repository; null: the binding is the host's own",
      ),
  }),
  z.strictObject({ ...ordered, kind: z.literal("prune"), repository: Id }),
  z.strictObject({ ...ordered, kind: z.literal("check"), repository: Id }),
  z.strictObject({ ...ordered, kind: z.literal("cancel"), run: Id }),
]);
export type Order = z.infer<typeof Order>;

/**
 * `GET /agent/v1/assignment` → the signed assignment; `GET /agent/v1/orders` → the signed orders that are still open.
 */
export const SignedAssignment = z.object({ jws: z.string() });
export const SignedOrders = z.object({
  orders: z.array(z.string()),
  nextKey: z.string().optional().describe("a signed NextKey, while the control plane's signing key is being replaced"),
});

/** The control plane's next signing key, signed by the present one. Agents pin it, and take it once it signs. */
export const NextKey = z.strictObject({
  next: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/)
    .describe("raw Ed25519 public key in base64url"),
  issuedAt: Instant,
});
export type NextKey = z.infer<typeof NextKey>;

/** `PUT /agent/v1/key`: the host's new key, as a JWS by that key over what it replaces. */
export const ReplaceHostKey = z.strictObject({ proof: z.string().max(4096) });

/** Payload of that proof. */
export const HostKeyProof = z.strictObject({
  host: Id,
  publicKey: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  previous: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
});
export type HostKeyProof = z.infer<typeof HostKeyProof>;
