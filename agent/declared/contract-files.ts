import { isDeepStrictEqual } from "node:util";
import type { AssignedContract } from "../../shared/assignment.ts";
import type { ContractBody } from "../../shared/contract.ts";
import { type DeclarationFault, declarationFault, OlderDeclaration } from "../../shared/declaration.ts";
import type { Paths } from "../config.ts";
import { type ContractFile, contractNameOf, type ContractReadResult, readContract } from "./contract-file.ts";
import { digestOf, readContractState } from "./contract-state.ts";
import { readContractTexts } from "./contract-texts.ts";
import { ownUser } from "../system/process/user.ts";

/** What contracts.d declares now. */
export interface DeclaredContracts {
  /** To be published. */
  readonly contracts: readonly ContractFile[];
  /** What an older version took and this one refuses: what is in force of it stays, and is not published. */
  readonly kept: readonly { readonly file: string; readonly name: string; readonly contract: ContractFile | null }[];
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
    const read = text === null ? unreadable(file, unread) : readContract(file, text, me);
    if (read.ok && text !== null) now.push({ contract: read.contract, text });
    else if (!read.ok) faults.push(...read.faults);
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
  if (fault !== null) faults.push(declarationFault(WHOLE, null, fault));
  const faulty = fault === null ? faults.map(({ file }) => file) : Object.keys(state.texts);
  const followed = now.filter(({ contract }) => !clashing.some(({ file }) => file === contract.file));
  const kept: (DeclaredContracts["kept"][number] & { readonly text: string })[] = [];
  for (const file of new Set(faulty)) {
    const text = state.texts[file];
    if (text === undefined) continue;
    const others = followed.map(({ contract }) => contract);
    const before = readContract(file, text, me);
    if (before.ok && conflictOf(before.contract, [...others, before.contract]) === null) {
      followed.push({ contract: before.contract, text });
      continue;
    }
    const older = before.ok ? before : readContract(file, text, me, OlderDeclaration);
    const contract = older.ok ? older.contract : null;
    const name = contract?.name ?? contractNameOf(file, text);
    if (name !== null && !others.some((other) => other.name === name)) kept.push({ file, name, contract, text });
  }
  const inForce: InForceBefore = {
    published: new Set(followed.map(({ contract }) => contract.file).filter((file) => faulty.includes(file))),
    kept: new Set(kept.map(({ file }) => file)),
  };
  return {
    contracts: followed.map(({ contract }) => contract),
    kept: kept.map(({ text: _text, ...one }) => one),
    faults: faults.map((one) => withWhatStays(one, inForce)),
    texts: Object.fromEntries([
      ...followed.map(({ contract, text }) => [contract.file, text] as const),
      ...kept.map(({ file, text }) => [file, text] as const),
    ]),
  };
}

/** The file of faults that concern all of them. */
const WHOLE = "contracts.d";
/** A thousand faults have to fit into one request. */
const LONGEST_MESSAGE = 1000;

function unreadable(file: string, message: string | null): ContractReadResult {
  return { ok: false, faults: [declarationFault(file, null, message ?? "can't be read")] };
}

interface InForceBefore {
  readonly published: ReadonlySet<string>;
  readonly kept: ReadonlySet<string>;
}

function withWhatStays(fault: DeclarationFault, { published, kept }: InForceBefore): DeclarationFault {
  const isAny = fault.file === WHOLE && published.size > 0;
  const stays =
    isAny || published.has(fault.file)
      ? "; what it declared before stays in force"
      : kept.has(fault.file)
        ? "; what an older version took of it stays in force"
        : "";
  return { ...fault, message: `${fault.message.slice(0, LONGEST_MESSAGE)}${stays}` };
}

/** Everything that root's own files declare on this host, published or kept. */
export async function readOwnContracts(
  paths: Pick<Paths, "contractsDir" | "contractsFile">,
): Promise<readonly ContractFile[]> {
  const { contracts, kept } = await readDeclared(paths);
  return [...contracts, ...kept.flatMap(({ contract }) => contract ?? [])];
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
  const [{ contracts, kept, texts }, { settled, refused }] = await Promise.all([
    readDeclared(paths),
    readContractState(paths),
  ]);
  const own = [...contracts, ...kept.flatMap(({ contract }) => contract ?? [])].find(
    (contract) => contract.name === name && contract.body.kind === assigned.kind,
  );
  if (own === undefined) return null;
  const isAhead = settled !== digestOf(texts) || refused.some(({ file }) => file === own.file);
  return isAhead || isDeepStrictEqual(own.body, body) ? own.body : null;
}

/**
 * For `status` and `doctor`.
 * @returns how many files are in force as they are written, as far as is known, and why the others are not
 */
export async function summarizeDeclared(
  paths: Pick<Paths, "contractsDir" | "contractsFile">,
): Promise<{ declared: number; faults: DeclarationFault[] }> {
  const [{ contracts, faults: found, texts }, { refused, rejected }] = await Promise.all([
    readDeclared(paths),
    readContractState(paths),
  ]);
  const faults = [
    ...found,
    ...refused.filter(({ file }) => file in texts || file === WHOLE),
    ...(rejected === null ? [] : [declarationFault(WHOLE, null, rejected)]),
  ];
  const faulty = new Set(faults.map(({ file }) => file));
  return { declared: contracts.filter(({ file }) => rejected === null && !faulty.has(file)).length, faults };
}

/** Two files must not declare contracts of the same name, nor describe one repository differently. */
function conflictOf(contract: ContractFile, all: readonly ContractFile[]): DeclarationFault | null {
  const { file, name } = contract;
  const others = all.filter((other) => other.file !== file);
  const namesake = others.find((other) => other.name === name);
  if (namesake !== undefined) {
    return declarationFault(
      file,
      "name",
      `${file} and ${namesake.file} both declare a contract "${name}": rename one of the files, or give one a name`,
    );
  }
  const mine = contract.bound?.repository;
  if (mine === undefined) return null;
  const rival = others.find(({ bound }) => {
    const theirs = bound?.repository;
    if (theirs === undefined) return false;
    const isNear =
      (theirs.provider === mine.provider && theirs.location === mine.location) ||
      (mine.name !== null && theirs.name === mine.name);
    return isNear && !isDeepStrictEqual(theirs, mine);
  });
  if (rival === undefined) return null;
  return declarationFault(
    file,
    "settings.repository",
    `${file} and ${rival.file} say different things of one repository (${mine.location}): make settings.repository, provider and passphrase the same, or name another place`,
  );
}
