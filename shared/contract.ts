import * as z from "zod";
import { Consistency } from "./consistency.ts";
import { AbsolutePath, Id, Instant, Name, UndeclaredAt } from "./ids.ts";
import { ExcludePattern, KnownPattern } from "./pattern.ts";
import { ServiceName, UserName } from "./unix.ts";

/** A hook is the name of an executable in the host's hooks.d, or shell if the host's policy says `inline`. */
export const Hook = z
  .string()
  .min(1, "must not be empty")
  .max(65_536)
  .refine((hook) => !hook.includes("\0"), "must not contain NUL");
export type Hook = z.infer<typeof Hook>;

/** A name only, as required by the policy `named`: no path, no arguments. */
export const HookName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** What a service needs backed up. The names are those of Self Host Blocks' backup contract. */
export const ContractRequest = z.strictObject({
  user: UserName.describe("Unix user on the host that does the backup and runs the hooks"),
  sourceDirectories: z
    .array(AbsolutePath)
    .min(1, "must name at least one directory")
    .max(1000)
    .describe("files or directories to back up; literal paths, never expanded"),
  excludePatterns: z
    .array(ExcludePattern)
    .max(1000)
    .default([])
    .describe("what to leave out, in restic's pattern language without '!'; the same for every provider"),
  hooks: z
    .strictObject({
      beforeBackup: z
        .array(Hook)
        .max(100)
        .default([])
        .describe("run before the backup, in order; if one fails, the backup stops"),
      afterBackup: z
        .array(Hook)
        .max(100)
        .default([])
        .describe("run after the backup, in order, whenever a before hook was started, whatever happened"),
    })
    .prefault({})
    .describe("names of executables in the host's hooks.d; shell only if the host's policy says inline"),
});
export type ContractRequest = z.infer<typeof ContractRequest>;

/** @returns why no file can have this name; null when one can */
function fileNameFault(name: string): string | null {
  if (!name.isWellFormed() || encodeURIComponent(name).replace(/%../g, "%").length > 255)
    return "must be at most 255 bytes of Unicode";
  if (/^$|^\.\.?$|\//.test(name)) return "must be the name of a file, without a directory";
  return /\p{Cc}/u.test(name) ? "must be one line, without control characters" : null;
}

/** What a database needs backed up. The names are those of Self Host Blocks' databasebackup contract. */
export const DatabaseRequest = z.strictObject({
  user: UserName.default("root").describe("Unix user on the host that does the backup and runs backupCmd"),
  backupName: z
    .string()
    .superRefine((name, context) => {
      const fault = fileNameFault(name);
      if (fault !== null) context.addIssue({ code: "custom", message: fault });
    })
    .default("dump")
    .describe("the name of the dump's file in the snapshot"),
  backupCmd: Hook.describe("writes the dump to its standard output; run by bash with pipefail"),
  restoreCmd: Hook.describe("reads the dump from its standard input; run by bash with pipefail"),
});
export type DatabaseRequest = z.infer<typeof DatabaseRequest>;

/** Keys of a files contract besides its request. None is part of the seed contract. */
const fileContractFields = {
  consistency: z
    .array(Consistency)
    .max(100)
    .default([])
    .describe("what has to be copied, dumped, stopped or paused for a consistent backup"),
  mountPoints: z
    .array(AbsolutePath)
    .max(100)
    .default([])
    .describe("directories that must be mount points when the backup runs, otherwise it fails"),
  stopForRestore: z
    .array(ServiceName)
    .max(20)
    .default([])
    .describe("systemd units to stop before a restore in place, and to start again after it"),
};

export const FilesContract = z.strictObject({
  kind: z.literal("files").describe("files and directories of the host"),
  // Patterns accepted by an older version are still valid here: one bad pattern must not hide a host's other contracts.
  request: ContractRequest.extend({ excludePatterns: z.array(KnownPattern).default([]) }).describe(
    "what the service needs kept",
  ),
  ...fileContractFields,
});
export type FilesContract = z.infer<typeof FilesContract>;

/** Key of a database's contract besides its request. Not part of the seed contract. */
const databaseContractFields = {
  restoreUser: UserName.nullable()
    .default(null)
    .describe(
      "Unix user that runs restoreCmd; null: for a contract that root declares on the host, the agent's own (root), for any other the request's user",
    ),
};

export const DatabaseContract = z.strictObject({
  kind: z.literal("databasebackup").describe("the output of a command, streamed into the repository"),
  request: DatabaseRequest.describe("what the database needs kept"),
  ...databaseContractFields,
});
export type DatabaseContract = z.infer<typeof DatabaseContract>;

/** Why the third of the seed's contracts, `datasetbackup`, is refused. Its shape is in docs/declared-contracts.md. */
export const NO_DATASETS =
  "a dataset (datasetbackup) can't be backed up yet: it is planned as the way \"zfs\" of a files contract's consistency. Until then ask for its files: name the directory where it is mounted in sourceDirectories, and in mountPoints, so that nothing is backed up while it is not mounted";

/** The body of a contract of either kind, without name and host. */
export const ContractBody = z.discriminatedUnion("kind", [FilesContract, DatabaseContract]);
export type ContractBody = z.infer<typeof ContractBody>;
export type ContractBodyInput = z.input<typeof ContractBody>;

/**
 * A contract's body as it is sent. A null `restoreUser` is left out: it reads the same, and programs older than this
 * key refuse it.
 */
export function sentBody(body: ContractBody): ContractBodyInput {
  if (body.kind === "files" || body.restoreUser !== null) return body;
  const { restoreUser: _null, ...sent } = body;
  return sent;
}

const known = {
  id: Id,
  host: Id,
  name: Name,
  declared: z.boolean().describe("declared by a file on the host, and read-only here"),
  undeclaredAt: UndeclaredAt,
  createdAt: Instant,
  changedAt: Instant,
};
export const Contract = z.discriminatedUnion("kind", [FilesContract.extend(known), DatabaseContract.extend(known)]);
export type Contract = z.infer<typeof Contract>;

const named = {
  host: z.string().min(1).describe("the host's id or name"),
  name: Name.describe("its name, unique on its host"),
};

export const CreateFilesContract = FilesContract.extend({
  ...named,
  kind: FilesContract.shape.kind.default("files"),
  request: ContractRequest.describe("what the service needs kept"),
}).meta({ id: "CreateContract", title: "Contract", description: "What a service needs kept." });

export const CreateDatabaseContract = DatabaseContract.extend(named).meta({
  id: "CreateDatabaseContract",
  title: "Database contract",
  description: "What a database needs kept.",
});

/** A catalogue entry, with the parameters filled in that only the owner knows. */
export const CreateFromCatalog = z.strictObject({
  ...named,
  name: Name.optional().describe("default: the entry's own name"),
  fromCatalog: z.string().min(1).max(63).describe("the entry's name: GET /api/v1/catalog lists them"),
  layout: z.string().min(1).max(63).describe("how the service is installed on the host"),
  params: z.record(z.string().max(63), z.string().max(4096)).default({}).describe("the layout's parameters"),
});
export type CreateFromCatalog = z.infer<typeof CreateFromCatalog>;

export const CreateContract = z.union([CreateFilesContract, CreateDatabaseContract, CreateFromCatalog]);
export type CreateContract = z.infer<typeof CreateContract>;

/** Keys that the contract's kind does not have are rejected by the domain function, which knows the kind. */
export const ChangeContract = z
  .strictObject({
    name: Name,
    request: z.union([ContractRequest, DatabaseRequest]),
    consistency: fileContractFields.consistency.unwrap(),
    mountPoints: fileContractFields.mountPoints.unwrap(),
    stopForRestore: fileContractFields.stopForRestore.unwrap(),
    restoreUser: databaseContractFields.restoreUser.unwrap(),
  })
  .partial()
  .refine((change) => Object.keys(change).length > 0, "must change something");
export type ChangeContract = z.infer<typeof ChangeContract>;
