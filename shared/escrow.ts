import * as z from "zod";
import { Id, Instant, Name } from "./ids.ts";
import { ProviderName, Ssh } from "./repository.ts";
import { SecretName } from "./secret-source.ts";
import { Recipient, SealedText } from "./sealed.ts";

/** What opens one repository, wherever it is: the inside of an escrow, and one entry of a recovery kit. */
export const RepositoryAccess = z.strictObject({
  name: Name,
  provider: ProviderName,
  location: z.string().min(1).max(2048),
  engineId: z.string().min(1).max(128).describe("the repository's own id: no other is taken for it"),
  passphrase: z.string().min(1),
  secrets: z.partialRecord(SecretName, z.string()).default({}),
  hostKey: Ssh.shape.hostKey,
});
export type RepositoryAccess = z.infer<typeof RepositoryAccess>;

/** What a host knows of a repository, sealed to the recovery kit's recipient. The control plane can't open it. */
export const Escrow = z.strictObject({
  repository: Id,
  recipient: Recipient,
  sealed: SealedText,
  digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .describe("changes with the content; keyed by the host, so that nobody can guess the content with it"),
});
export type Escrow = z.infer<typeof Escrow>;

/** Body of `PUT /agent/v1/escrows`. */
export const Escrows = z.strictObject({ escrows: z.array(Escrow).min(1).max(100) });

/** Body of `PUT /api/v1/recovery`. */
export const SetRecovery = z.strictObject({
  recipient: Recipient.describe("of the recovery kit, made where the kit is printed"),
  printed: z.boolean().default(false).describe("true: a kit with everything that is there now has been printed"),
});
export type SetRecovery = z.infer<typeof SetRecovery>;

/** How far the recovery kit goes. */
export const Recovery = z.strictObject({
  recipient: Recipient.nullable().describe("null: there is no recovery kit yet"),
  setAt: Instant.nullable(),
  printedAt: Instant.nullable().describe("when the kit was last printed with everything that was there"),
  escrowed: z.int().describe("repositories that this kit's key opens"),
  newer: z.int().describe("of those, how many are new or changed since the kit was printed"),
  missing: z.array(
    z.strictObject({
      repository: Name,
      hosts: z.array(Name).describe("where root can grant it: `holdfast-agent recovery RECIPIENT`"),
    }),
  ),
});
export type Recovery = z.infer<typeof Recovery>;

/** `GET /api/v1/recovery/escrows`. */
export const StoredEscrows = z.strictObject({
  escrows: z.array(
    z.strictObject({ repository: Id, host: Id, recipient: Recipient, sealed: SealedText, changedAt: Instant }),
  ),
});
