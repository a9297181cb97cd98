import type { ContractTemplate, ParamValues } from "../../shared/catalog.ts";
import type { LayoutTemplate, StepTemplate } from "./template.ts";

const PLACEHOLDER = /\$\{([A-Za-z]+)\}/g;

/**
 * Fills a layout's parameters with values.
 * @returns the contract, with `${NAME}` left for missing values, and the names of these
 */
export function fillTemplate(
  layout: LayoutTemplate,
  values: ParamValues,
): { contract: ContractTemplate; missing: string[] } {
  const missing = new Set<string>();
  const put = (text: string, write: (value: string) => string = (value) => value): string =>
    text.replace(PLACEHOLDER, (placeholder, name: string) => {
      const value = values[name];
      if (value === undefined) missing.add(name);
      return value === undefined ? placeholder : write(value);
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
    stopForRestore: (files?.stop ?? [])
      .map((stop) => (typeof stop === "string" ? { unit: stop, when: {} } : stop))
      .filter((stop) => isSelected(stop, values))
      .map(({ unit }) => put(unit)),
  };
}

function isSelected({ when = {} }: { readonly when?: Readonly<Record<string, string>> }, values: ParamValues): boolean {
  return Object.entries(when).every(([name, value]) => values[name] === value);
}

function filledStep({ when: _when, ...step }: StepTemplate, put: Put): Record<string, string> {
  return Object.fromEntries(Object.entries(step).map(([key, text]) => [key, put(text)]));
}

/** Escapes the pattern characters of a path. */
function escapeGlob(path: string): string {
  return path.replace(/[\\*?[\]]/g, "\\$&");
}
