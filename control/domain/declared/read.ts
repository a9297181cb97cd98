import {
  Declaration,
  declarationFault,
  DeclarationFault,
  declarationFaults,
  MAX_DECLARED,
  type PublishedDeclarations,
} from "../../../shared/declaration.ts";
import { Name } from "../../../shared/ids.ts";
import { isRecord } from "../../../shared/json.ts";

/** What a host published, each part checked by itself. */
export interface ReadDeclarations {
  readonly declarations: readonly Declaration[];
  /** The agent's own. */
  readonly reported: readonly DeclarationFault[];
  /** Of the parts that are no declaration here. */
  readonly refused: readonly DeclarationFault[];
  /** Names of contracts that stay as they are; null: one has no name that can be read, so all of them stay. */
  readonly kept: ReadonlySet<string> | null;
}

/** Reads what a host published. What can't be used is a fault, and what it declared before stays. */
export function readPublished({ declarations: given, faults, kept }: PublishedDeclarations): ReadDeclarations {
  const refused: DeclarationFault[] = [];
  const read: Declaration[] = [];
  const names: (string | null)[] = kept.flatMap((name) => Name.safeParse(name).data ?? []);
  for (const [index, value] of given.entries()) {
    const { file, name } = headOf(value, index);
    const parsed = read.length < MAX_DECLARED ? Declaration.safeParse(value) : null;
    if (parsed?.success === true) {
      read.push(parsed.data);
      continue;
    }
    names.push(name);
    if (parsed === null) refused.push(declarationFault(file, null, `is one too many: ${MAX_DECLARED} are taken`));
    else refused.push(...declarationFaults(file, parsed.error.issues));
  }
  const twice = namesakes(read);
  refused.push(...twice.map(({ file, name }) => declarationFault(file, "name", `"${name}" is declared twice`)));
  names.push(...twice.map(({ name }) => name));
  const isNameless = names.includes(null);
  return {
    declarations: read.filter((one) => !twice.includes(one)),
    reported: faults.slice(0, MAX_DECLARED).map(readFault),
    refused: refused.slice(0, MAX_DECLARED),
    kept: isNameless ? null : new Set(names.filter((name) => name !== null)),
  };
}

function headOf(value: unknown, index: number): { file: string; name: string | null } {
  const { file, name } = isRecord(value) ? value : {};
  return {
    file: typeof file === "string" ? file : `contracts.d (number ${index + 1})`,
    name: Name.safeParse(name).data ?? null,
  };
}

/** Which of two is right, nobody here can say. */
function namesakes(all: readonly Declaration[]): Declaration[] {
  const counts = new Map<string, number>();
  for (const { name } of all) counts.set(name, (counts.get(name) ?? 0) + 1);
  return all.filter(({ name }) => (counts.get(name) ?? 0) > 1);
}

/** A fault is only shown: what is too long is cut, and a newer agent's keys are left out. */
function readFault(value: unknown): DeclarationFault {
  const { file, field = null, message } = isRecord(value) ? value : {};
  const parsed = DeclarationFault.safeParse({ file, field, message });
  if (parsed.success) return parsed.data;
  const { message: cut, file: name } = declarationFault(textOf(file), null, textOf(message));
  return { file: name, field: typeof field === "string" ? field.slice(0, 256) : null, message: cut };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
