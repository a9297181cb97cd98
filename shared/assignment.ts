import * as z from "zod";
import { AbsolutePath, Id, Instant, Name } from "./ids.ts";
import { ContractRequest } from "./contract.ts";
import { Settings } from "./binding.ts";
import { RepositorySpec } from "./repository.ts";

/** Everything one host has to do, complete in itself. Sent as the payload of a JWS of the control plane's key. */
export const Assignment = z.strictObject({
  protocol: z.literal(1),
  host: Id,
  revision: z.int().min(0).describe("grows with every change; an agent never takes an older one"),
  issuedAt: Instant,
  contracts: z.array(z.strictObject({ id: Id, name: Name, kind: z.literal("files"), request: ContractRequest })),
  repositories: z.array(RepositorySpec.extend({ id: Id, engineId: z.string().nullable() })),
  bindings: z.array(
    z.strictObject({ id: Id, name: Name, contract: Id, repository: Id, paused: z.boolean(), settings: Settings }),
  ),
});
export type Assignment = z.infer<typeof Assignment>;
export type AssignedContract = Assignment["contracts"][number];
export type AssignedRepository = Assignment["repositories"][number];
export type AssignedBinding = Assignment["bindings"][number];

/** `typ` in the header of each kind of JWS, so that one kind can never pass for another. */
export const JWS_TYPES = {
  assignment: "holdfast-assignment+jws",
  order: "holdfast-order+jws",
  enrolment: "holdfast-enrolment+jws",
  agent: "holdfast-agent+jwt",
} as const;

const ordered = { id: Id, host: Id, issuedAt: Instant, expiresAt: Instant };

/** Where restored files go, and which. Paths in `include` are absolute, as in the snapshot. */
export const RestoreRequest = z.strictObject({
  snapshot: z.string().regex(/^([0-9a-f]{8,64}|latest)$/, "must be a snapshot's id or 'latest'"),
  target: AbsolutePath.nullable().default(null).describe("a directory on the host; null: back where it came from"),
  include: z.array(AbsolutePath).max(1000).default([]).describe("only these paths; empty: everything"),
});
export type RestoreRequest = z.infer<typeof RestoreRequest>;

/** A one-off instruction, signed like an assignment. The id of a `backup` or `restore` order is its run's id. */
export const Order = z.discriminatedUnion("kind", [
  z.strictObject({ ...ordered, kind: z.literal("backup"), binding: Id }),
  z.strictObject({ ...ordered, kind: z.literal("restore"), binding: Id, restore: RestoreRequest }),
  z.strictObject({ ...ordered, kind: z.literal("cancel"), run: Id }),
]);
export type Order = z.infer<typeof Order>;

/** `GET /agent/v1/assignment` → the signed assignment; `GET /agent/v1/orders` → the signed orders still open. */
export const SignedAssignment = z.object({ jws: z.string() });
export const SignedOrders = z.object({ orders: z.array(z.string()) });
