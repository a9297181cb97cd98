import * as z from "zod";
import { Settings } from "./binding.ts";
import { ContractRequest, DatabaseContract, FilesContract } from "./contract.ts";
import { Id, Name } from "./ids.ts";
import { RepositorySpec } from "./repository.ts";
import { retentionFault } from "./retention.ts";

const File = z.string().min(1).max(255).describe("the file's name in the host's contracts.d");

const declarationFields = {
  file: File,
  name: Name.describe("the file's own name when it gives none"),
  bound: z
    .strictObject({ repository: RepositorySpec, settings: Settings })
    .superRefine(({ repository, settings }, context) => {
      const message = retentionFault(repository.provider, settings.retention);
      if (message !== null) context.addIssue({ code: "custom", path: ["settings", "retention", "keep_tag"], message });
    })
    .nullable()
    .describe("repository and schedule, if the file has them; null: it is bound in the control plane"),
};

/** One contract declared by a file in the host's contracts.d, as published by the agent. */
export const Declaration = z.discriminatedUnion("kind", [
  FilesContract.extend({ ...declarationFields, request: ContractRequest }),
  DatabaseContract.extend(declarationFields),
]);
export type Declaration = z.infer<typeof Declaration>;

/** A file that is invalid, or could be applied only in part. What it declared before stays in force. */
export const DeclarationFault = z.strictObject({
  file: File,
  message: z.string().max(4096).describe("what is wrong with it, where, and what to do"),
});
export type DeclarationFault = z.infer<typeof DeclarationFault>;

/** `PUT /agent/v1/declarations`: all of them. What is missing is no longer declared. */
export const Declarations = z.strictObject({
  declarations: z.array(Declaration).max(1000),
  faults: z
    .array(DeclarationFault)
    .max(1000)
    .describe("files that can't be read; their last valid declarations are in the list"),
});
export type Declarations = z.infer<typeof Declarations>;

/** The control plane's faults. A name that belongs to somebody else is a fault: nothing is overwritten. */
export const DeclarationsResult = z.object({
  contracts: z.array(z.object({ name: Name, contract: Id, binding: Id.nullable() })),
  faults: z.array(DeclarationFault),
});
export type DeclarationsResult = z.infer<typeof DeclarationsResult>;
