import type { ContractTemplate, ParamValues } from "../../shared/catalog.ts";
import type { LayoutTemplate, StepTemplate } from "./template.ts";

const PLACE = /\$\{([A-Za-z]+)\}/g;

/**
 * Puts values where a layout's parameters stand.
 * @returns the contract, with `${NAME}` left where there is no value; and the names of those that are missing
 */
export function fillTemplate(
  layout: LayoutTemplate,
  values: ParamValues,
): { contract: ContractTemplate; missing: string[] } {
  const missing = new Set<string>();
  const put = (text: string, write: (value: string) => string = (value) => value): string =>
    text.replace(PLACE, (place, name: string) => {
      const value = values[name];
      if (value === undefined) missing.add(name);
      return value === undefined ? place : write(value);
    });
  const contract = contractOf(layout, values, put);
  return { contract, missing: [...missing] };
}

type Put = (text: string, write?: (value: string) => string) => string;

function contractOf(layout: LayoutTemplate, values: ParamValues, put: Put): ContractTemplate {
  const user = put("${user}");
  const { files, database } = layout;
  if (database !== undefined) {
    const { backupName, backupCmd, restoreCmd } = database;
    return {
      kind: "databasebackup",
      request: { user, backupName, backupCmd: put(backupCmd), restoreCmd: put(restoreCmd) },
    };
  }
  return {
    kind: "files",
    request: {
      user,
      sourceDirectories: [...new Set((files?.sources ?? []).map((source) => put(source)))],
      excludePatterns: (files?.excludes ?? []).map((pattern) => put(pattern, escapeGlob)),
    },
    consistency: (files?.consistency ?? [])
      .filter((step) => isSelected(step, values))
      .map((step) => filledStep(step, put)),
    stopForRestore: (files?.stop ?? []).map((unit) => put(unit)),
  };
}

function isSelected({ when = {} }: StepTemplate, values: ParamValues): boolean {
  return Object.entries(when).every(([name, value]) => values[name] === value);
}

function filledStep({ when: _when, ...step }: StepTemplate, put: Put): Record<string, string> {
  return Object.fromEntries(Object.entries(step).map(([key, text]) => [key, put(text)]));
}

/** In a pattern, these characters of a path would mean something else than themselves. */
function escapeGlob(path: string): string {
  return path.replace(/[\\*?[\]]/g, "\\$&");
}
