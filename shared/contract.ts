import * as z from "zod";
import { AbsolutePath, Id, Instant, Name } from "./ids.ts";

/** A hook is the name of an executable in the host's hooks.d, or shell where the host's policy says `inline`. */
export const Hook = z
  .string()
  .min(1, "must not be empty")
  .max(65_536)
  .refine((hook) => !hook.includes("\0"), "must not contain NUL");
export type Hook = z.infer<typeof Hook>;

/** A name alone, as the policy `named` wants it: no path, no arguments. */
export const HookName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** One exclude pattern in restic's dialect, without its negation. */
export const ExcludePattern = z
  .string()
  .min(1, "must not be empty")
  .max(4096)
  .refine((pattern) => !/[\0\n]/.test(pattern), "must not contain NUL or a newline")
  .refine((pattern) => !pattern.startsWith("!"), "must not begin with '!': a pattern only ever leaves out");
export type ExcludePattern = z.infer<typeof ExcludePattern>;

export const UserName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?$/, "must be the name of a Unix user on the host");
export type UserName = z.infer<typeof UserName>;

/** What a service needs kept. The names are Self Host Blocks' backup contract's own. */
export const ContractRequest = z.strictObject({
  user: UserName.describe("Unix user on the host that does the backup and runs the hooks"),
  sourceDirectories: z
    .array(AbsolutePath)
    .min(1, "must name at least one directory")
    .max(1000)
    .describe("files or directories to keep; taken literally, never expanded"),
  excludePatterns: z
    .array(ExcludePattern)
    .max(1000)
    .default([])
    .describe("what to leave out, in restic's pattern language without '!'"),
  hooks: z
    .strictObject({
      beforeBackup: z
        .array(Hook)
        .max(100)
        .default([])
        .describe("run before, in order; one that fails stops the backup"),
      afterBackup: z
        .array(Hook)
        .max(100)
        .default([])
        .describe("run after, in order, whenever a before hook began, whatever happened between"),
    })
    .prefault({})
    .describe("names of executables in the host's hooks.d; shell only where the host's policy says inline"),
});
export type ContractRequest = z.infer<typeof ContractRequest>;

export const Contract = z.strictObject({
  id: Id,
  host: Id,
  name: Name,
  kind: z.literal("files"),
  request: ContractRequest,
  createdAt: Instant,
  changedAt: Instant,
});
export type Contract = z.infer<typeof Contract>;

export const CreateContract = z
  .strictObject({
    host: z.string().min(1).describe("the host's id or name"),
    name: Name.describe("what people call it: one host has no two of a name"),
    kind: z.literal("files").default("files").describe("files and directories of the host"),
    request: ContractRequest.describe("what the service needs kept"),
  })
  .meta({ id: "CreateContract", title: "Contract", description: "What a service needs kept." });
export type CreateContract = z.infer<typeof CreateContract>;

export const ChangeContract = z
  .strictObject({ name: Name, request: ContractRequest })
  .partial()
  .refine((change) => Object.keys(change).length > 0, "must change something");
export type ChangeContract = z.infer<typeof ChangeContract>;
