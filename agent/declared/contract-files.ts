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
  /** By file: what was followed, for the memory. */
  readonly texts: Readonly<Record<string, string>>;
}

interface Candidate {
  readonly contract: ContractFile;
  readonly text: string;
}

/**
 * Reads contracts.d. A file that can't be followed is a fault, and what it said when it last could be holds until it is
 * mended or removed.
 */
export async function readDeclared(paths: Pick<Paths, "contractsDir" | "contractsFile">): Promise<DeclaredContracts> {
  const [{ files, fault }, memory] = await Promise.all([readContractTexts(paths), readContractState(paths)]);
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
  // Nothing is known of any file while the directory can't be read.
  if (fault !== null) faults.push({ file: "contracts.d", message: fault });
  const faulty = fault === null ? faults.map(({ file }) => file) : Object.keys(memory.texts);
  const followed = now.filter(({ contract }) => !clashing.some(({ file }) => file === contract.file));
  for (const file of new Set(faulty)) {
    const text = memory.texts[file];
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
 * What root's own file asks for where the control plane says that a contract is declared here: that needs nobody's leave.
 * While the control plane does not know what the file says now, or does not take it, the file goes before the assignment.
 * @returns null when no file asks for it, or asks for something else than is assigned: then it is the control plane's word
 */
export async function findOwnDeclaration(
  paths: Pick<Paths, "contractsDir" | "contractsFile">,
  assigned: AssignedContract,
): Promise<ContractBody | null> {
  if (!assigned.declared) return null;
  const { id: _id, name, declared: _said, ...body } = assigned;
  const [{ contracts, texts }, { settled, refused }] = await Promise.all([
    readDeclared(paths),
    readContractState(paths),
  ]);
  const own = contracts.find((contract) => contract.name === name && contract.body.kind === assigned.kind);
  if (own === undefined) return null;
  const isAhead = settled !== digestOf(texts) || refused.some(({ file }) => file === own.file);
  return isAhead || isDeepStrictEqual(own.body, body) ? own.body : null;
}

/** For whoever looks at the host: how many files are followed, and which are not, by us or by the control plane. */
export async function summarizeDeclared(
  paths: Pick<Paths, "contractsDir" | "contractsFile">,
): Promise<{ declared: number; faults: DeclarationFault[] }> {
  const [{ contracts, faults, texts }, { refused }] = await Promise.all([
    readDeclared(paths),
    readContractState(paths),
  ]);
  return { declared: contracts.length, faults: [...faults, ...refused.filter(({ file }) => file in texts)] };
}

/** Two files may not give one name to two contracts, nor say different things of one repository. */
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
