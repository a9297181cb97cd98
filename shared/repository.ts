import * as z from "zod";
import { AbsolutePath, Id, Instant, Name, UndeclaredAt } from "./ids.ts";
import { Zone } from "./binding.ts";
import { TimerConfig } from "./timer-config.ts";
import { locationFault } from "./location.ts";
import { CredentialSource, Credentials, SecretSource } from "./secret-source.ts";

export const FileSecret = z.strictObject({ file: AbsolutePath }, { error: 'must be {"file":"/path/on/host"}' });

/** How a repository is accessed over ssh (restic's sftp:, borg's ssh://): never with a prompt. */
export const Ssh = z.strictObject({
  identityFile: AbsolutePath.regex(/^[^"\\$%]*$/, "must not contain '\"', '\\', '$' or '%': ssh reads them")
    .nullable()
    .default(null)
    .describe("the private key on the host, readable by the contract's user; null: ssh's default"),
  hostKey: z
    .string()
    .regex(
      /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,2}$/,
      "must be the server's public key as ssh-keyscan shows it, without the name: TYPE BASE64",
    )
    .nullable()
    .default(null)
    .describe("the server's public key; any other is refused. null: the host's own known_hosts decides"),
});
export type Ssh = z.infer<typeof Ssh>;

const Upkeep = (OnCalendar: string, meaning: string) =>
  z
    .strictObject({
      enable: z.boolean().default(true),
      timerConfig: TimerConfig.prefault({ OnCalendar, RandomizedDelaySec: "1h" }),
    })
    .prefault({})
    .describe(meaning);

/** How the host that maintains an append-only repository removes from it: with credentials that no other host has. */
export const MaintainerAccess = z.strictObject({
  location: z
    .string()
    .min(1)
    .max(2048)
    .optional()
    .describe("another address of the same repository, such as that of a server that is not append-only"),
  passphrase: SecretSource.optional().describe(
    "where it comes from there; needed for another address if the repository's own is made on the host or sealed",
  ),
  secrets: Credentials.default({}),
  ssh: Ssh.prefault({}),
});
export type MaintainerAccess = z.infer<typeof MaintainerAccess>;

/** What one host does to a repository as a whole, each in runs of its own. */
export const Maintenance = z.strictObject({
  prune: Upkeep("Sun 03:30", "free the space of what was forgotten (restic prune, borg compact)"),
  check: Upkeep("Sat 03:30", "check the structure, and each time another part of the data"),
  readDataParts: z
    .int()
    .min(1)
    .max(256)
    .default(13)
    .describe("how many checks it takes until all data was read: 13 weekly ones are a quarter"),
  zone: Zone.nullable().default(null).describe("IANA time zone of both schedules; null: the host's own"),
  access: MaintainerAccess.optional().describe(
    "of an append-only repository: how the maintainer removes from it; without it, no host does",
  ),
});
export type Maintenance = z.infer<typeof Maintenance>;

export const ProviderName = z.enum(["restic", "borg"], { error: "must be restic or borg" });
export type ProviderName = z.infer<typeof ProviderName>;

const spec = z.strictObject({
  name: Name,
  provider: ProviderName,
  location: z.string().min(1, "must not be empty").max(2048),
  passphrase: SecretSource,
  secrets: Credentials.default({}),
  ssh: Ssh.prefault({}).describe("for a repository behind ssh"),
  caFile: AbsolutePath.nullable()
    .default(null)
    .describe("certificates (PEM) on the host that a rest: or s3: server is checked against; null: the host's own"),
  appendOnly: z
    .boolean()
    .default(false)
    .describe("true: hosts may only add to it; its maintainer removes, with maintenance.access, or nobody here does"),
  maintenance: Maintenance.prefault({}),
  existing: z
    .boolean()
    .default(false)
    .describe("true: it exists already, never create it; false: the first backup creates it, once"),
});

/** For every object with a provider and a location: they must match. */
function checkLocation(
  { provider, location, maintenance }: { provider: ProviderName; location: string; maintenance: Maintenance },
  context: z.RefinementCtx,
): void {
  const places: [string, string[]][] = [[location, ["location"]]];
  const other = maintenance.access?.location;
  if (other !== undefined) places.push([other, ["maintenance", "access", "location"]]);
  for (const [place, path] of places) {
    const fault = locationFault(provider, place);
    if (fault !== null) context.addIssue({ code: "custom", path, message: fault });
  }
}

export const RepositorySpec = spec.superRefine(checkLocation);
export type RepositorySpec = z.infer<typeof RepositorySpec>;

/** A repository as in a host's assignment. */
export const AssignedRepositorySpec = spec
  .extend({
    id: Id,
    engineId: z.string().nullable(),
    maintains: z.boolean().default(false).describe("this host prunes and checks it"),
  })
  .superRefine(checkLocation);

export const Repository = spec.extend({
  id: Id,
  engineId: z.string().nullable().describe("the repository's id in restic or borg; null before it was created"),
  maintainer: Id.nullable().describe("the host that prunes and checks it; null: the first host that bound it"),
  declared: z.boolean().describe("declared by a file on a host, and read-only here"),
  undeclaredAt: UndeclaredAt,
  createdAt: Instant,
  changedAt: Instant,
});
export type Repository = z.infer<typeof Repository>;

export const CreateRepository = spec
  .extend({
    maintainer: z.string().min(1).nullable().default(null).describe("id or name of the host that prunes and checks it"),
  })
  .superRefine(checkLocation);
export type CreateRepository = z.infer<typeof CreateRepository>;

/** The location can't be changed: another one is another repository. */
export const ChangeRepository = z
  .strictObject({
    name: Name,
    passphrase: CredentialSource.describe("where the same passphrase comes from now: it opens nothing else"),
    secrets: Credentials,
    ssh: Ssh,
    caFile: AbsolutePath.nullable(),
    appendOnly: z.boolean(),
    maintenance: Maintenance,
    maintainer: z.string().min(1).nullable(),
  })
  .partial()
  .refine((change) => Object.keys(change).length > 0, "must change something");
export type ChangeRepository = z.infer<typeof ChangeRepository>;
