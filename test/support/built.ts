import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const repository = join(import.meta.dirname, "../..");

export interface Built {
  readonly directory: string;
  /** The program files, as `npm start` runs them. */
  readonly holdfast: string;
  readonly agent: string;
  remove(): Promise<void>;
}

/** The two programs that programs.setup.ts has bundled; undefined outside of Vitest. */
export function builtPrograms(): Built | undefined {
  const directory = process.env["HOLDFAST_TEST_PROGRAMS"];
  return directory === undefined ? undefined : builtIn(directory, async () => undefined);
}

/**
 * The same, bundled now where nobody has done it: into a folder of their own, where they find the packages left
 * outside.
 */
export async function buildPrograms(): Promise<Built> {
  const shared = builtPrograms();
  if (shared !== undefined) return shared;
  const cache = join(repository, "node_modules/.cache");
  await mkdir(cache, { recursive: true });
  const directory = await mkdtemp(join(cache, "built-"));
  await promisify(execFile)(process.execPath, [join(repository, ".ci/build.mjs"), directory]);
  return builtIn(directory, () => rm(directory, { recursive: true, force: true }));
}

function builtIn(directory: string, remove: () => Promise<void>): Built {
  return { directory, holdfast: join(directory, "holdfast.mjs"), agent: join(directory, "agent.mjs"), remove };
}
