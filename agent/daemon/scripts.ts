import { constants } from "node:fs";
import { access, chmod, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Assignment } from "../../shared/assignment.ts";
import { messageOf } from "../../shared/error-message.ts";
import { resultOf } from "../../shared/result.ts";
import { makeReadableDirectory, type Paths } from "../config.ts";
import { isMissing, namesIn, readTextIfExists, writeFileAtomically } from "../../shared/node/files.ts";
import { ownProgram } from "../system/own-program.ts";
import { ownUser } from "../system/process/user.ts";
import { isEquivalentUnit, isManaged, resultFiles, type ResultFile } from "./script-files.ts";
import { isUnderSystemd, systemctl } from "../systemctl.ts";

export interface ResultDeps {
  readonly paths: Paths;
  readonly log: (line: string) => void;
}

const SCRIPT_PREFIX = resultOf("").restoreScript;

/**
 * Keeps the restore scripts and the backup unit on the host up to date with the assignment. Never throws: where they
 * can't be written, backups continue.
 * @returns `sync`, to be called with each assignment. It logs a problem once, and again only if it was gone in between
 */
export function openResultFiles(deps: ResultDeps): { sync: (assignment: Assignment | null) => Promise<void> } {
  let lastLogged: readonly string[] = [];
  return {
    async sync(assignment) {
      if (assignment === null) return;
      const troubles = await syncFiles(deps, expectedFiles(deps.paths, assignment));
      for (const trouble of troubles) if (!lastLogged.includes(trouble)) deps.log(trouble);
      lastLogged = troubles;
    },
  };
}

/** Which result files are missing, and why. Changes nothing. */
export async function findMissingResults(paths: Paths, assignment: Assignment): Promise<string[]> {
  const problems = await Promise.all(
    expectedFiles(paths, assignment).map(async ({ path }) => {
      const text = await readTextIfExists(path).catch(() => "");
      if (text === null) return `${path} is missing: ${await whyMissing(path)}`;
      return isManaged(text) || isEquivalentUnit(text) ? null : unmanagedMessage(path);
    }),
  );
  return problems.filter((problem) => problem !== null);
}

/** Every result file installed on this machine, for `uninstall`. */
export async function installedResultFiles(paths: Paths): Promise<string[]> {
  const unit = await readTextIfExists(paths.backupUnit).catch(() => "");
  return [...(await scriptsIn(paths)), ...(unit !== null && isManaged(unit) ? [paths.backupUnit] : [])];
}

function expectedFiles(paths: Paths, { bindings }: Assignment): ResultFile[] {
  return resultFiles({ paths, bindings, command: ownProgram(), user: ownUser().name });
}

async function syncFiles({ paths }: ResultDeps, wanted: ResultFile[]): Promise<string[]> {
  const troubles: string[] = [];
  const attempt = async (path: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      troubles.push(error instanceof UnmanagedFileError ? error.message : `${path} can't be kept: ${reasonOf(error)}`);
    }
  };
  let isUnitNew = false;
  for (const file of wanted) {
    await attempt(file.path, async () => {
      const isNew = await writeIfChanged(file);
      if (file.path === paths.backupUnit) isUnitNew = isNew;
    });
  }
  const keeping = new Set(wanted.map(({ path }) => path));
  await attempt(paths.scriptsDir, async () => {
    for (const path of await scriptsIn(paths)) if (!keeping.has(path)) await rm(path, { force: true });
  });
  if (isUnitNew && isUnderSystemd(paths)) {
    const trouble = await systemctl(paths, ["daemon-reload"]);
    if (trouble !== null) troubles.push(trouble);
  }
  return troubles;
}

class UnmanagedFileError extends Error {}

/** @returns whether it was written */
async function writeIfChanged({ path, text, mode }: ResultFile): Promise<boolean> {
  const found = await readTextIfExists(path);
  if (found !== null && !isManaged(found)) {
    if (isEquivalentUnit(found)) return false;
    throw new UnmanagedFileError(unmanagedMessage(path));
  }
  if (found === text) {
    if (((await stat(path)).mode & 0o777) !== mode) await chmod(path, mode);
    return false;
  }
  await makeReadableDirectory(dirname(path));
  await writeFileAtomically(path, text, mode);
  return true;
}

/** Our own scripts, including temporary files left by a crash. */
async function scriptsIn({ scriptsDir }: Paths): Promise<string[]> {
  const names = await namesIn(scriptsDir);
  const paths = names.filter((name) => name.startsWith(SCRIPT_PREFIX)).map((name) => join(scriptsDir, name));
  const texts = await Promise.all(paths.map((path) => readTextIfExists(path).catch(() => null)));
  return paths.filter((_path, index) => isManaged(texts[index] ?? "")).toSorted();
}

function unmanagedMessage(path: string): string {
  return `${path} is not the agent's and stays as it is: move it away, then restart the agent`;
}

async function whyMissing(path: string): Promise<string> {
  try {
    await access(dirname(path), constants.W_OK);
  } catch (error) {
    if (!isMissing(error)) return reasonOf(error);
  }
  return "the agent makes it when it runs";
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "EROFS")
    return "the disk is read-only there; 'holdfast-agent snapshots' and 'restore' work all the same";
  if (code === "EACCES" || code === "EPERM")
    return "the agent's user may not write there; 'holdfast-agent snapshots' and 'restore' work all the same";
  return messageOf(error);
}
