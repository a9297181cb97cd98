import * as z from "zod";
import { AssignedRepositorySpec, ProviderName, SecretName, Ssh } from "./repository.ts";
import { AbsolutePath, Id, Name } from "./ids.ts";

/**
 * What a recovery key holds: all it takes to open the repository that a control plane is kept in, once every machine that knew is
 * gone. Whoever has it can read what is kept there, the control plane's signing key among it.
 */
export const RecoveryKey = z.strictObject({
  host: Id.describe("whose snapshots they are, with `binding`"),
  binding: Id,
  controlKey: z.string().describe("fingerprint of the control plane's signing key, which every host has pinned"),
  repository: z.strictObject({
    id: Id,
    name: Name,
    provider: ProviderName,
    location: z.string().min(1).max(2048),
    engineId: z.string(),
    hostKey: Ssh.shape.hostKey,
  }),
  passphrase: z.string().min(1),
  secrets: z.partialRecord(SecretName, z.string()),
  identity: z.string().nullable().describe("the private key that ssh is given, whole; null: what ssh uses by itself"),
  certificates: z.string().nullable().describe("PEM, of a server with a certificate of its own"),
});
export type RecoveryKey = z.infer<typeof RecoveryKey>;

/** What the agent program is handed, on its standard input, to fetch a snapshot that no assignment of its own tells of. */
export const SnapshotRequest = z.strictObject({
  host: Id,
  binding: Id,
  repository: AssignedRepositorySpec,
  snapshot: z.string().regex(/^([0-9a-f]{8,64}|latest)$/, "must be a snapshot's id or 'latest'"),
  target: AbsolutePath.describe("a directory that is empty or not there yet"),
});
export type SnapshotRequest = z.infer<typeof SnapshotRequest>;
