import * as z from "zod";
import { AssignedRepositorySpec, ProviderName, Ssh } from "./repository.ts";
import { SecretName } from "./secret-source.ts";
import { AbsolutePath, Id, Name } from "./ids.ts";

/**
 * The content of a recovery key: all it takes to open the repository with the control plane's backups, once every
 * machine that knew it is gone. Whoever has it can read those backups, including the control plane's signing key.
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

/** The agent's request on stdin to fetch a snapshot that is in no assignment of its own. */
export const SnapshotRequest = z.strictObject({
  host: Id,
  binding: Id,
  repository: AssignedRepositorySpec,
  snapshot: z.string().regex(/^([0-9a-f]{8,64}|latest)$/, "must be a snapshot's id or 'latest'"),
  target: AbsolutePath.describe("a directory that is empty or not there yet"),
});
export type SnapshotRequest = z.infer<typeof SnapshotRequest>;
