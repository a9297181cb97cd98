import * as z from "zod";
import { AbsolutePath, Id, Instant, Name } from "./ids.ts";
import { ResticLocation } from "./location.ts";

/** Where a secret comes from. The secret itself never passes through the control plane. */
export const SecretSource = z.union(
  [
    z.strictObject({ file: AbsolutePath.describe("a file on the host that holds the secret") }),
    z.strictObject({ generate: z.literal(true).describe("made on the host, kept there, readable by its agent only") }),
  ],
  { error: 'must be {"file":"/path/on/host"} or {"generate":true}' },
);
export type SecretSource = z.infer<typeof SecretSource>;

export const FileSecret = z.strictObject({ file: AbsolutePath }, { error: 'must be {"file":"/path/on/host"}' });

/** The only variables that reach the engine: anything else in its environment is code execution or a surprise. */
export const SecretName = z.enum(
  [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
    "B2_ACCOUNT_ID",
    "B2_ACCOUNT_KEY",
    "AZURE_ACCOUNT_NAME",
    "AZURE_ACCOUNT_KEY",
    "AZURE_ACCOUNT_SAS",
    "GOOGLE_PROJECT_ID",
    "RESTIC_REST_USERNAME",
    "RESTIC_REST_PASSWORD",
  ],
  {
    error: (issue) =>
      `unknown secret ${JSON.stringify(issue.input)}: only the storage credentials restic reads are allowed`,
  },
);
export type SecretName = z.infer<typeof SecretName>;

export const RepositorySpec = z.strictObject({
  name: Name,
  provider: z.literal("restic", { error: "must be restic (borg comes in a later version)" }),
  location: ResticLocation,
  passphrase: SecretSource,
  secrets: z.partialRecord(SecretName, FileSecret).default({}),
  existing: z
    .boolean()
    .default(false)
    .describe("true: it is already there, never create it; false: the first backup creates it, once"),
});

export const Repository = RepositorySpec.extend({
  id: Id,
  engineId: z.string().nullable().describe("the provider's own id, remembered since it was created; null before that"),
  createdAt: Instant,
  changedAt: Instant,
});
export type Repository = z.infer<typeof Repository>;

export const CreateRepository = RepositorySpec;
export type CreateRepository = z.infer<typeof CreateRepository>;

/** The place and the passphrase stay: another place is another repository. */
export const ChangeRepository = z
  .strictObject({ name: Name, secrets: z.partialRecord(SecretName, FileSecret) })
  .partial()
  .refine((change) => Object.keys(change).length > 0, "must change something");
export type ChangeRepository = z.infer<typeof ChangeRepository>;
