import * as z from "zod";
import { type ContractBody, ContractRequest, DatabaseRequest, NO_DATASETS } from "../../shared/contract.ts";
import {
  Declaration,
  type DeclarationFault,
  declarationFault,
  declarationFaults,
  type OlderDeclaration,
} from "../../shared/declaration.ts";
import { Name } from "../../shared/ids.ts";
import { isRecord } from "../../shared/json.ts";
import { type DeclaredBinding, toDeclaredBinding, ContractSettings, KEYS_OF_THE_WHOLE } from "./contract-settings.ts";

/** What one file of contracts.d declares. */
export interface ContractFile {
  readonly file: string;
  readonly name: string;
  readonly body: ContractBody;
  /** Repository and settings, if the file contains them. */
  readonly bound: DeclaredBinding | null;
}

export type ContractReadResult =
  | { readonly ok: true; readonly contract: ContractFile }
  | { readonly ok: false; readonly faults: readonly DeclarationFault[] };

/**
 * Reads a contract as written by `builtins.toJSON` for a request of Self Host Blocks: the request alone, or next to it
 * a name, settings, and the other keys of a Holdfast contract. Checked with the control plane's own schema.
 * @param file its name in contracts.d: gives the contract's name when the file has none
 * @param agentUser the user that replaces an empty user: the agent's own
 * @param schema of a declaration; an older one for a text that was taken before
 */
export function readContract(
  file: string,
  text: string,
  agentUser: string,
  schema: typeof Declaration | typeof OlderDeclaration = Declaration,
): ContractReadResult {
  const value = parsed(text);
  if (typeof value === "string") return { ok: false, faults: [declarationFault(file, null, value)] };
  const isBare = !("request" in value);
  const { name, request, settings = null, result: _ours, ...beside } = isBare ? { request: value } : value;
  if (isRecord(request) && "dataset" in request) {
    return { ok: false, faults: [declarationFault(file, isBare ? "dataset" : "request.dataset", NO_DATASETS)] };
  }
  const header = ContractHeader.safeParse({ name: name ?? undefined, settings });
  const contractName = header.data?.name ?? nameFromFile(file);
  const bound = toBound(header.data?.settings ?? null);
  const { rest, faults } = withoutOurKeys(file, beside);
  const declaration = schema.safeParse({
    ...bodyOf(request, rest, agentUser),
    file,
    name: contractName ?? NAMELESS,
    // A repository without a name gets one that is made from its place.
    bound: bound === null ? null : { ...bound, repository: { ...bound.repository, name: repositoryName(bound) } },
  });
  faults.push(
    ...declarationFaults(file, header.error?.issues ?? []),
    ...declarationFaults(file, declaration.error?.issues ?? [], isBare),
  );
  if (contractName === null && header.success) {
    const why = `"${file}" has nothing a name can be made of: give a name beside the request`;
    faults.push(declarationFault(file, "name", why));
  }
  if (contractName === null || !declaration.success || faults.length > 0)
    return { ok: false, faults: faults.map(withAdvice) };
  const { file: _file, name: _name, bound: _bound, ...body } = declaration.data;
  return { ok: true, contract: { file, name: contractName, body, bound } };
}

/** The name of the contract that a text declares, even one that is no longer valid; null when none can be told. */
export function contractNameOf(file: string, text: string): string | null {
  const value = parsed(text);
  const given = typeof value === "string" ? undefined : Name.safeParse(value["name"]).data;
  return given ?? nameFromFile(file);
}

const NAMELESS = "x";

function toBound(settings: z.infer<typeof ContractSettings> | null): DeclaredBinding | null {
  return settings === null ? null : toDeclaredBinding(settings);
}

function repositoryName({ repository }: DeclaredBinding): string {
  return repository.name ?? NAMELESS;
}

/** A declaration has them; a file that has them would be read as if it had not. */
function withoutOurKeys(
  file: string,
  { file: ourFile, bound: ourBound, ...rest }: Record<string, unknown>,
): { rest: Record<string, unknown>; faults: DeclarationFault[] } {
  const keys = Object.entries({ file: ourFile, bound: ourBound }).flatMap(([key, value]) =>
    value === undefined ? [] : [key],
  );
  return { rest, faults: keys.map((key) => declarationFault(file, key, "there is no such key here: remove it")) };
}

/** What of the seed stands for a whole provider and not for one contract says what to do instead. */
function withAdvice(fault: DeclarationFault): DeclarationFault {
  const key = fault.field?.split(".").at(-1) ?? "";
  const advice = Object.hasOwn(KEYS_OF_THE_WHOLE, key) ? KEYS_OF_THE_WHOLE[key] : undefined;
  const isUnknown = fault.message.endsWith(": there is no such key here: remove it");
  return advice === undefined || !isUnknown ? fault : declarationFault(fault.file, fault.field, advice);
}

/** @returns the object, or a sentence on why it is invalid. Never quotes the text: it may contain secrets */
function parsed(text: string): Record<string, unknown> | string {
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value;
    return "is not one JSON object: write what builtins.toJSON gives for a request";
  } catch (error) {
    const where = /at position \d+( \(line \d+ column \d+\))?/.exec(String(error))?.[0];
    return `is not JSON${where === undefined ? "" : `, ${where}`}: write what builtins.toJSON gives for a request`;
  }
}

const ContractHeader = z.strictObject({ name: Name.optional(), settings: ContractSettings.nullable() });

/** The declaration's body as the file has it, its kind told by the request's keys. */
function bodyOf(request: unknown, rest: Record<string, unknown>, agentUser: string): Record<string, unknown> {
  const named = isRecord(request) ? { ...request, user: userOrDefault(request["user"], agentUser) } : request;
  const isDatabase = isRecord(request) && Object.keys(request).some((key) => OF_DATABASES.has(key));
  return { kind: isDatabase ? "databasebackup" : "files", ...rest, request: named };
}

const OF_DATABASES = new Set(Object.keys(DatabaseRequest.shape).filter((key) => !(key in ContractRequest.shape)));

function userOrDefault(user: unknown, agentUser: string): unknown {
  return user === "" || user === undefined || user === null ? agentUser : user;
}

/** The file's name without its ending, changed into a valid name; null when nothing is left. */
function nameFromFile(file: string): string | null {
  const wish = file.replace(/\.json$/, "").toLowerCase();
  const name = wish
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, 63);
  return name === "" ? null : name;
}
