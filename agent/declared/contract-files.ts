import { isDeepStrictEqual } from "node:util";
import type { AssignedContract } from "../../shared/assignment.ts";
import type { ContractBody } from "../../shared/contract.ts";
import type { DeclarationFault } from "../../shared/declaration.ts";
import type { Paths } from "../config.ts";
import { type ContractFile, readContract } from "./contract-file.ts";
import { digestOf, readContractState } from "./contract-state.ts";
import { readContractTexts } from "./contract-texts.ts";
import { ownUser } from "../system/process/user.ts";

/** What contracts.d declares now. */
export interface DeclaredContracts {
  readonly contracts: readonly ContractFile[];
  readonly faults: readonly DeclarationFault[];
  /** By file: the valid texts, to be stored. */
  readonly texts: Readonly<Record<string, string>>;
}

interface Candidate {
  readonly contract: ContractFile;
  readonly text: string;
}

/**
 * Reads contracts.d. An invalid file is a fault; its last valid contents stay in force until it is fixed or removed.
 */
export async function readDeclared(paths: Pick<Paths, "contractsDir" | "contractsFile">): Promise<DeclaredContracts> {
  const [{ files, fault }, state] = await Promise.all([readContractTexts(paths), readContractState(paths)]);
  const me = ownUser().name;
  const faults: DeclarationFault[] = [];
  const now: Candidate[] = [];
  for (const { file, text, fault: unread } of files) {
    const read = text === null ? { ok: false as const, message: unread } : readContract(file, text, me);
    if (read.ok && text !== null) now.push({ contract: read.contract, text });
    else if (!read.ok) faults.push({ file, message: read.message });
  }
  const clashing = now.flatMap(
    ({ contract }) =>
      conflictOf(
        contract,
        now.map((other) => other.contract),
      ) ?? [],
  );
  faults.push(...clashing);
  // While the directory can't be read, nothing is known of any file.
  if (fault !== null) faults.push({ file: "contracts.d", message: fault });
  const faulty = fault === null ? faults.map(({ file }) => file) : Object.keys(state.texts);
  const followed = now.filter(({ contract }) => !clashing.some(({ file }) => file === contract.file));
  for (const file of new Set(faulty)) {
    const text = state.texts[file];
    const before = text === undefined ? null : readContract(file, text, me);
    if (text === undefined || before?.ok !== true) continue;
    const others = followed.map(({ contract }) => contract);
    if (conflictOf(before.contract, [...others, before.contract]) === null)
      followed.push({ contract: before.contract, text });
  }
  return {
    contracts: followed.map(({ contract }) => contract),
    faults: faults.map(({ file, message }) => ({ file, message: message.slice(0, 4096) })),
    texts: Object.fromEntries(followed.map(({ contract, text }) => [contract.file, text])),
  };
}

/**
 * What root's own file declares; needs no policy permission. While the control plane has not acknowledged the file, or
 * has rejected it, the file wins over the assignment.
 * @returns null when no file declares the contract, or the file differs from what is assigned: then the assignment
 * counts
 */
export async function findOwnDeclaration(
  paths: Pick<Paths, "contractsDir" | "contractsFile">,
  assigned: AssignedContract,
): Promise<ContractBody | null> {
  if (!assigned.declared) return null;
  const { id: _id, name, declared: _declared, ...body } = assigned;
  const [{ contracts, texts }, { settled, refused }] = await Promise.all([
    readDeclared(paths),
    readContractState(paths),
  ]);
  const own = contracts.find((contract) => contract.name === name && contract.body.kind === assigned.kind);
  if (own === undefined) return null;
  const isAhead = settled !== digestOf(texts) || refused.some(({ file }) => file === own.file);
  return isAhead || isDeepStrictEqual(own.body, body) ? own.body : null;
}

/** For `status`: how many files are valid, and the faults found by the agent or the control plane. */
export async function summarizeDeclared(
  paths: Pick<Paths, "contractsDir" | "contractsFile">,
): Promise<{ declared: number; faults: DeclarationFault[] }> {
  const [{ contracts, faults, texts }, { refused }] = await Promise.all([
    readDeclared(paths),
    readContractState(paths),
  ]);
  return { declared: contracts.length, faults: [...faults, ...refused.filter(({ file }) => file in texts)] };
}

/** Two files must not declare contracts of the same name, nor describe one repository differently. */
function conflictOf(contract: ContractFile, all: readonly ContractFile[]): DeclarationFault | null {
  const { file, name } = contract;
  const others = all.filter((other) => other.file !== file);
  const namesake = others.find((other) => other.name === name);
  if (namesake !== undefined) {
    const message = `${file} and ${namesake.file} both declare a contract "${name}": rename one of the files, or give one a name`;
    return { file, message };
  }
  const mine = contract.bound?.repository;
  if (mine === undefined) return null;
  const rival = others.find(({ bound }) => {
    const theirs = bound?.repository;
    if (theirs === undefined || isDeepStrictEqual(theirs, mine)) return false;
    return (
      (theirs.provider === mine.provider && theirs.location === mine.location) ||
      (mine.name !== null && theirs.name === mine.name)
    );
  });
  if (rival === undefined) return null;
  const message = `${file} and ${rival.file} say different things of one repository (${mine.location}): make settings.repository, provider and passphrase the same, or name another place`;
  return { file, message };
}
