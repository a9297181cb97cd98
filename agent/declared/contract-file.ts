import * as z from "zod";
import {
  type ContractBody,
  ContractRequest,
  DatabaseContract,
  DatabaseRequest,
  FilesContract,
} from "../../shared/contract.ts";
import { Name } from "../../shared/ids.ts";
import { RepositorySpec } from "../../shared/repository.ts";
import { type DeclaredBinding, toDeclaredBinding, ContractSettings } from "./contract-settings.ts";
import { isRecord } from "../../shared/json.ts";

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
  | { readonly ok: false; readonly message: string };

/**
 * Reads a contract as written by `builtins.toJSON` for a request of Self Host Blocks: the request alone, or next to it
 * a name, settings, and the other keys of a Holdfast contract.
 * @param file its name in contracts.d: gives the contract's name when the file has none
 * @param agentUser the user that replaces an empty user: the agent's own
 */
export function readContract(file: string, text: string, agentUser: string): ContractReadResult {
  const value = parsed(text);
  if (typeof value === "string") return { ok: false, message: value };
  const isBare = !("request" in value);
  const { name, request, settings = null, result: _ours, ...beside } = isBare ? { request: value } : value;
  if (isRecord(request) && "dataset" in request) {
    return { ok: false, message: "asks for a dataset (datasetbackup): Holdfast keeps files and databases only" };
  }
  const header = ContractHeader.safeParse({ name: name ?? undefined, settings });
  const body = bodyOf(request, beside, agentUser);
  const contractName = header.data?.name ?? nameFromFile(file);
  const faults = [
    ...faultsOf(header, isBare),
    ...faultsOf(body, isBare),
    ...(contractName === null
      ? [`name: "${file}" has nothing a name can be made of: give a name beside the request`]
      : []),
  ];
  if (!header.success || !body.success || contractName === null) return { ok: false, message: faults.join("; ") };
  const bound = header.data.settings === null ? null : toDeclaredBinding(header.data.settings);
  const place =
    bound === null ? null : RepositorySpec.safeParse({ ...bound.repository, name: bound.repository.name ?? "x" });
  if (place?.success === false) {
    return {
      ok: false,
      message: `settings.repository.path: ${place.error.issues.map(({ message }) => message).join("; ")}`,
    };
  }
  return { ok: true, contract: { file, name: contractName, body: body.data, bound } };
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

function bodyOf(
  request: unknown,
  rest: Record<string, unknown>,
  agentUser: string,
): z.ZodSafeParseResult<ContractBody> {
  const named = isRecord(request) ? { ...request, user: userOrDefault(request["user"], agentUser) } : request;
  const isDatabase = isRecord(request) && Object.keys(request).some((key) => OF_DATABASES.has(key));
  return isDatabase
    ? DatabaseContract.safeParse({ ...rest, kind: "databasebackup", request: named })
    : FilesContract.safeParse({ ...rest, kind: "files", request: named });
}

const OF_DATABASES = new Set(Object.keys(DatabaseRequest.shape).filter((key) => !(key in ContractRequest.shape)));

function userOrDefault(user: unknown, agentUser: string): unknown {
  return user === "" || user === undefined || user === null ? agentUser : user;
}

/** Each with its path in the file. */
function faultsOf(parsed: z.ZodSafeParseResult<unknown>, isBare: boolean): string[] {
  return (parsed.error?.issues ?? []).map((issue) => {
    const path = isBare && issue.path[0] === "request" ? issue.path.slice(1) : issue.path;
    const place = path.join(".");
    if (issue.code === "unrecognized_keys") {
      const keys = issue.keys.map((key) => (place === "" ? key : `${place}.${key}`));
      return `${keys.join(", ")}: there is no such key here: remove it`;
    }
    return `${place === "" ? "it" : place}: ${issue.message}`;
  });
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
