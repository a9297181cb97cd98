import * as z from "zod";
import { Settings } from "./binding.ts";
import { ContractRequest, DatabaseContract, FilesContract } from "./contract.ts";
import { Id, Name } from "./ids.ts";
import { leafIssues, type RawIssue } from "./issues.ts";
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

/**
 * One contract declared by a file in the host's contracts.d. Agent and control plane check it with this same schema,
 * so that what one of them takes the other does not refuse.
 */
export const Declaration = z.discriminatedUnion("kind", [
  FilesContract.extend({ ...declarationFields, request: ContractRequest }),
  DatabaseContract.extend(declarationFields),
]);
export type Declaration = z.infer<typeof Declaration>;
export type DeclarationInput = z.input<typeof Declaration>;

/** What an older version took, with patterns that are refused today. It may still be in force on its host. */
export const OlderDeclaration = z.discriminatedUnion("kind", [
  FilesContract.extend(declarationFields),
  DatabaseContract.extend(declarationFields),
]);

/** The most declarations, and the most faults, of one host. */
export const MAX_DECLARED = 1000;
/** A longer field is cut: it is shown, and never looked up. */
const MAX_FIELD = 256;
const MAX_MESSAGE = 4096;

/** A file, or something in it, that is not in force as it is written. */
export const DeclarationFault = z.strictObject({
  file: File.describe("the file's name in the host's contracts.d; contracts.d itself for what concerns all of them"),
  field: z
    .string()
    .max(MAX_FIELD)
    .nullable()
    .default(null)
    .describe("where in the file, such as request.excludePatterns.0; null: the file as a whole"),
  message: z.string().max(MAX_MESSAGE).describe("what is wrong with it, where, what to do, and what is in force"),
});
export type DeclarationFault = z.infer<typeof DeclarationFault>;

/** `PUT /agent/v1/declarations`, as an agent sends it: all of them. What is missing is no longer declared. */
export interface Declarations {
  readonly declarations: readonly DeclarationInput[];
  /** Files that are not in force as they are; their last valid declarations are in the list, or kept. */
  readonly faults: readonly z.input<typeof DeclarationFault>[];
  /** Names of contracts that stay as they are: their files declare them, but not in a way that can be sent. */
  readonly kept?: readonly Name[];
}

/** The same as the control plane reads it: each part is checked by itself, and none spoils the others. */
export const PublishedDeclarations = z.looseObject({
  declarations: z.array(z.unknown()).describe("Declaration[]: each is checked by itself"),
  faults: z.array(z.unknown()).default([]).describe("DeclarationFault[]: files that are not in force as they are"),
  kept: z.array(z.unknown()).default([]).describe("names of contracts that stay as they are"),
});
export type PublishedDeclarations = z.infer<typeof PublishedDeclarations>;

/** The control plane's faults. A name that belongs to somebody else is a fault: nothing is overwritten. */
export const DeclarationsResult = z.object({
  contracts: z.array(z.object({ name: Name, contract: Id, binding: Id.nullable() })),
  faults: z
    .array(DeclarationFault.omit({ field: true }))
    .describe("as agents before 0.2 read them: `refused` without the fields"),
  refused: z.array(DeclarationFault).default([]).describe("what the control plane does not put in force, and why"),
});
export type DeclarationsResult = z.infer<typeof DeclarationsResult>;

/** A fault whose message and field fit. */
export function declarationFault(file: string, field: string | null, message: string): DeclarationFault {
  const where = field === null ? "" : `${field.slice(0, MAX_FIELD)}: `;
  const name = file.slice(0, 255);
  return {
    file: name === "" ? "contracts.d" : name,
    field: field === null ? null : field.slice(0, MAX_FIELD),
    message: `${where}${message}`.slice(0, MAX_MESSAGE),
  };
}

/** More than these say nothing new: a list of a thousand wrong entries has a thousand of them. */
const SHOWN_ISSUES = 10;

/**
 * The faults of a value that is not a declaration, each with its place in the file.
 * @param isBare the file is the request itself, without keys beside it
 */
export function declarationFaults(file: string, issues: readonly RawIssue[], isBare = false): DeclarationFault[] {
  const leaves = issues.slice(0, MAX_DECLARED).flatMap((issue) => leafIssues(withOwnText(issue)));
  const more = leaves.length - SHOWN_ISSUES;
  const faults = leaves.slice(0, SHOWN_ISSUES).map(({ path, message, unknownKey }) => {
    const field = fieldInFile(unknownKey === null ? path : [...path, unknownKey], isBare);
    const why = unknownKey === null ? message : "there is no such key here: remove it";
    return declarationFault(file, field === "" ? null : field, why);
  });
  if (more > 0) faults.push(declarationFault(file, null, `has ${more} more faults like these`));
  return faults;
}

/** A union's own sentence names all ways to write it; those of one branch don't. */
function withOwnText(issue: RawIssue): RawIssue {
  return issue.message === "Invalid input" ? issue : { ...issue, errors: [] };
}

/** A declaration's parts are elsewhere in its file, as the contract of Self Host Blocks has them. */
function fieldInFile(path: readonly (string | number)[], isBare: boolean): string {
  const [first, second, ...rest] = path;
  if (first === "request") return (isBare ? path.slice(1) : path).join(".");
  if (first !== "bound") return path.join(".");
  const [third] = rest;
  if (second === "settings") {
    const isTimer = third === "timerConfig";
    return ["settings", ...(isTimer ? ["repository"] : []), ...rest].join(".");
  }
  if (second !== "repository") return "settings";
  if (third === "location") return ["settings.repository.path", ...rest.slice(1)].join(".");
  const isBeside = third === "provider" || third === "passphrase";
  return ["settings", ...(isBeside ? [] : ["repository"]), ...rest].join(".");
}
