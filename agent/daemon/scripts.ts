import { constants } from "node:fs";
import { access, chmod, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Assignment } from "../../shared/assignment.ts";
import { resultOf } from "../../shared/result.ts";
import { makeReadableDirectory, type Paths } from "../config.ts";
import { isMissing, readTextIfThere, writeFileAtomically } from "../system/files.ts";
import { ownProgram } from "../system/own-program.ts";
import { ownUser } from "../system/process/user.ts";
import { doesOurs, isOurs, resultFiles, type ResultFile } from "./script-files.ts";
import { isUnderSystemd, systemctl } from "../systemctl.ts";

export interface ResultDeps {
  readonly paths: Paths;
  readonly log: (line: string) => void;
}

const SCRIPT_PREFIX = resultOf("").restoreScript;

/**
 * Keeps the restore scripts and the backup unit on the host what the assignment asks for. Never throws: where they can't be
 * written, backups go on all the same.
 * @returns `keep`, to be called with each assignment; a trouble is logged once, and again when it was gone in between
 */
export function openResults(deps: ResultDeps): { keep: (assignment: Assignment | null) => Promise<void> } {
  let saidBefore: readonly string[] = [];
  return {
    async keep(assignment) {
      if (assignment === null) return;
      const troubles = await keepFiles(deps, wantedFiles(deps.paths, assignment));
      for (const trouble of troubles) if (!saidBefore.includes(trouble)) deps.log(trouble);
      saidBefore = troubles;
    },
  };
}

/** What of the results is not there, and why: for a person who asks, without touching anything. */
export async function missingResults(paths: Paths, assignment: Assignment): Promise<string[]> {
  const looked = await Promise.all(
    wantedFiles(paths, assignment).map(async ({ path }) => {
      const text = await readTextIfThere(path).catch(() => "");
      if (text === null) return `${path} is missing: ${await whyMissing(path)}`;
      return isOurs(text) || doesOurs(text) ? null : notOurs(path);
    }),
  );
  return looked.filter((trouble) => trouble !== null);
}

/** All that `keep` has put on the machine, for whoever takes the agent off it. */
export async function resultsIn(paths: Paths): Promise<string[]> {
  const unit = await readTextIfThere(paths.backupUnit).catch(() => "");
  return [...(await scriptsIn(paths)), ...(unit !== null && isOurs(unit) ? [paths.backupUnit] : [])];
}

function wantedFiles(paths: Paths, { bindings }: Assignment): ResultFile[] {
  return resultFiles({ paths, bindings, command: ownProgram(), user: ownUser().name });
}

async function keepFiles({ paths }: ResultDeps, wanted: ResultFile[]): Promise<string[]> {
  const troubles: string[] = [];
  const attempt = async (path: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      troubles.push(error instanceof NotOurs ? error.message : `${path} can't be kept: ${reasonOf(error)}`);
    }
  };
  let isUnitNew = false;
  for (const file of wanted) {
    await attempt(file.path, async () => {
      const isNew = await writeIfDifferent(file);
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

class NotOurs extends Error {}

/** @returns whether it was written */
async function writeIfDifferent({ path, text, mode }: ResultFile): Promise<boolean> {
  const found = await readTextIfThere(path);
  if (found !== null && !isOurs(found)) {
    if (doesOurs(found)) return false;
    throw new NotOurs(notOurs(path));
  }
  if (found === text) {
    if (((await stat(path)).mode & 0o777) !== mode) await chmod(path, mode);
    return false;
  }
  await makeReadableDirectory(dirname(path));
  await writeFileAtomically(path, text, mode);
  return true;
}

/** The scripts that are ours, a draft that a crash has left among them. */
async function scriptsIn({ scriptsDir }: Paths): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(scriptsDir);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  const paths = names.filter((name) => name.startsWith(SCRIPT_PREFIX)).map((name) => join(scriptsDir, name));
  const texts = await Promise.all(paths.map((path) => readTextIfThere(path).catch(() => null)));
  return paths.filter((_path, index) => isOurs(texts[index] ?? "")).toSorted();
}

function notOurs(path: string): string {
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
  return error instanceof Error ? error.message : String(error);
}
