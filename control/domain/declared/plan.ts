import {
  type Declaration,
  declarationFault,
  type DeclarationFault,
  type DeclarationsResult,
} from "../../../shared/declaration.ts";
import type { Id, Instant } from "../../../shared/ids.ts";
import { isLocalLocation } from "../../../shared/location.ts";
import type { bindings, contracts, repositories } from "../../db/schema/contracts.ts";
import { type MacTable, tamperedMessage } from "../../keys/row-mac.ts";
import { bodyToColumns } from "../contracts/rows.ts";

type ContractRow = typeof contracts.$inferSelect;
type RepositoryRow = typeof repositories.$inferSelect;
type BindingRow = typeof bindings.$inferSelect;

/** The existing objects of the host, and all repositories with a name that is declared. */
export interface DeclaredState {
  readonly contracts: readonly ContractRow[];
  readonly repositories: readonly RepositoryRow[];
  readonly bindings: readonly BindingRow[];
}

/** A row to write; `old` is null for a new one. */
export interface Write<Row> {
  readonly row: Row;
  readonly old: Row | null;
}

export interface Plan {
  readonly contracts: Write<ContractRow>[];
  readonly repositories: Write<RepositoryRow>[];
  readonly bindings: Write<BindingRow>[];
  /** New names of old bindings whose name a declared binding needs. */
  readonly renames: Map<Id, string>;
  readonly applied: DeclarationsResult["contracts"];
  readonly faults: DeclarationFault[];
}

export interface PlanInput {
  readonly host: Id;
  readonly now: Instant;
  readonly newId: () => Id;
  /** Rows that somebody else changed in the database. */
  readonly tampered: ReadonlySet<Id>;
}

/**
 * Plans the rows to write for a host's declarations. A declaration that conflicts with objects it does not own becomes
 * a fault as a whole, and its previous state stays.
 */
export function planDeclarations(known: DeclaredState, input: PlanInput, declarations: readonly Declaration[]): Plan {
  const plan: Plan = { contracts: [], repositories: [], bindings: [], renames: new Map(), applied: [], faults: [] };
  const view = {
    contracts: new Map(known.contracts.map((row) => [row.id, row])),
    repositories: new Map(known.repositories.map((row) => [row.id, row])),
    bindings: new Map(known.bindings.map((row) => [row.id, row])),
  };
  for (const declaration of declarations) {
    const { file } = declaration;
    const contract = orFault(plan, file, () => contractOf(view, input, declaration));
    // Both are looked at, so that one fault does not hide the other.
    const repository = orFault(plan, file, () => repositoryOf(view, input, declaration));
    if (contract === undefined || repository === undefined) continue;
    const binding = orFault(plan, file, () =>
      repository === null ? null : bindingOf(view, input, { declaration, contract, repository, plan }),
    );
    if (binding === undefined) continue;
    addIfChanged(plan.contracts, view.contracts, contract);
    if (repository !== null) addIfChanged(plan.repositories, view.repositories, repository);
    if (binding !== null) addIfChanged(plan.bindings, view.bindings, binding);
    plan.applied.push({ name: declaration.name, contract: contract.row.id, binding: binding?.row.id ?? null });
  }
  return plan;
}

/** @returns undefined when it became a fault of the plan */
function orFault<T>(plan: Plan, file: string, step: () => T): T | undefined {
  try {
    return step();
  } catch (error) {
    if (!(error instanceof DeclarationConflict)) throw error;
    plan.faults.push(declarationFault(file, error.field, error.message));
    return undefined;
  }
}

/** @param field of the file; null: it is no fault of the file */
class DeclarationConflict extends Error {
  readonly field: string | null;
  constructor(field: string | null, message: string) {
    super(message);
    this.field = field;
  }
}

interface View {
  readonly contracts: Map<Id, ContractRow>;
  readonly repositories: Map<Id, RepositoryRow>;
  readonly bindings: Map<Id, BindingRow>;
}

function contractOf(view: View, input: PlanInput, declaration: Declaration): Write<ContractRow> {
  const { host, now, newId } = input;
  const { name, kind } = declaration;
  const old = [...view.contracts.values()].find((row) => row.name === name) ?? null;
  if (old !== null && !isDeclared(old)) {
    throw new DeclarationConflict(
      "name",
      `contract "${name}" of this host was created in the control plane: delete or rename it, or use another name`,
    );
  }
  if (old !== null) throwIfTampered(input, "contracts", old);
  const isBound = [...view.bindings.values()].some(({ contract }) => contract === old?.id);
  if (old !== null && old.kind !== kind && isBound) {
    throw new DeclarationConflict(
      "request",
      `contract "${name}" is of kind "${old.kind}", and another kind needs another name`,
    );
  }
  const known = old ?? { id: newId(), host, name, createdAt: now, mac: null };
  return { old, row: { ...known, ...bodyToColumns(declaration), declared: true, undeclaredAt: null, changedAt: now } };
}

/** A repository is identified by provider and location: a new location is a new repository, a new name is not. */
function repositoryOf(view: View, input: PlanInput, { bound }: Declaration): Write<RepositoryRow> | null {
  if (bound === null) return null;
  const { host, now, newId } = input;
  const spec = bound.repository;
  const rows = [...view.repositories.values()];
  const isHere = (row: RepositoryRow) => row.location === spec.location && row.provider === spec.provider;
  const isOurs = (row: RepositoryRow) => isDeclared(row) && row.host === host;
  const namesake = rows.find((row) => row.name === spec.name) ?? null;
  const old = rows.find((row) => isOurs(row) && isHere(row)) ?? namesake;
  if (namesake !== null && (namesake !== old || !isOurs(namesake))) {
    throw new DeclarationConflict(
      "settings.repository.name",
      `the control plane has another repository "${spec.name}": use another name`,
    );
  }
  if (old !== null && !isHere(old)) {
    throw new DeclarationConflict(
      "settings.repository.path",
      `repository "${spec.name}" is ${old.provider} at ${old.location}: a different location needs a different name`,
    );
  }
  if (old !== null) throwIfTampered(input, "repositories", old);
  const known = old ?? { id: newId(), engineId: null, maintainer: null, createdAt: now, mac: null };
  return { old, row: { ...known, ...spec, host, declared: true, undeclaredAt: null, changedAt: now } };
}

function bindingOf(
  view: View,
  input: PlanInput,
  {
    declaration: { name, bound },
    contract,
    repository,
    plan,
  }: { declaration: Declaration; contract: Write<ContractRow>; repository: Write<RepositoryRow>; plan: Plan },
): Write<BindingRow> | null {
  if (bound === null) return null;
  const { host, now, newId } = input;
  const rows = [...view.bindings.values()];
  const ofRepository = rows.filter((row) => row.repository === repository.row.id);
  const old = ofRepository.find((row) => row.contract === contract.row.id) ?? null;
  if (old !== null && !isDeclared(old)) {
    throw new DeclarationConflict(
      "settings",
      `binding "${old.name}", created in the control plane, has this repository already: delete that binding`,
    );
  }
  if (old !== null) throwIfTampered(input, "bindings", old);
  const { user } = contract.row.request;
  const other = ofRepository
    .map((row) => view.contracts.get(row.contract))
    .find((row) => row !== undefined && row.id !== contract.row.id && row.request.user !== user);
  if (other !== undefined && isLocalLocation(repository.row.location)) {
    throw new DeclarationConflict(
      "settings.repository.path",
      `${repository.row.location} is a local directory that contract "${other.name}" uses as user "${other.request.user}"; "${user}" could not read its files: use another location`,
    );
  }
  freeBindingName(view, input, plan, { name, contract: contract.row.id, old });
  const known = old ?? {
    id: newId(),
    host,
    contract: contract.row.id,
    repository: repository.row.id,
    listedBy: null,
    listChecksum: null,
    labels: [],
    goodAt: null,
    expectedSince: null,
    mac: null,
    alertAt: now,
    createdAt: now,
  };
  // It was paused because its file was removed; the file is back, so it runs again.
  const paused = old !== null && old.undeclaredAt === null && old.paused;
  return {
    old,
    row: { ...known, name, settings: bound.settings, paused, declared: true, undeclaredAt: null, changedAt: now },
  };
}

/** A contract that moves to another repository keeps its old binding, for its snapshots, under another name. */
function freeBindingName(
  view: View,
  input: PlanInput,
  plan: Plan,
  { name, contract, old }: { name: string; contract: Id; old: BindingRow | null },
): void {
  const rows = [...view.bindings.values()];
  const namesake = rows.find((row) => row.name === name && row.id !== old?.id);
  if (namesake === undefined) return;
  const repository = view.repositories.get(namesake.repository)?.name ?? namesake.repository;
  const free = `${name}-${repository}`.slice(0, 63);
  if (
    input.tampered.has(namesake.id) ||
    !isDeclared(namesake) ||
    namesake.contract !== contract ||
    rows.some((row) => row.name === free)
  ) {
    throw new DeclarationConflict(
      "name",
      `the control plane has another binding "${name}" of this host: rename or delete it, or use another name`,
    );
  }
  plan.renames.set(namesake.id, free);
  view.bindings.set(namesake.id, { ...namesake, name: free });
}

function throwIfTampered({ tampered }: PlanInput, table: MacTable, { id }: { id: Id }): void {
  if (tampered.has(id)) throw new DeclarationConflict(null, tamperedMessage(table, id));
}

/** Whether a file declares the row, or did so before. Only such rows may be changed by a declaration. */
function isDeclared(row: { declared: boolean; undeclaredAt: Instant | null }): boolean {
  return row.declared || row.undeclaredAt !== null;
}

function addIfChanged<Row extends { id: Id; changedAt: Instant }>(
  writes: Write<Row>[],
  view: Map<Id, Row>,
  write: Write<Row>,
): void {
  const { old, row } = write;
  view.set(row.id, row);
  const isSame =
    old !== null && JSON.stringify(sorted(old)) === JSON.stringify(sorted({ ...row, changedAt: old.changedAt }));
  if (!isSame) writes.push(write);
}

function sorted(row: object): [string, unknown][] {
  return Object.entries(row).toSorted(([one], [other]) => (one < other ? -1 : 1));
}
