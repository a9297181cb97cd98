import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const repository = join(import.meta.dirname, "../..");

export interface Built {
  /** The program files, as `npm start` runs them. */
  readonly holdfast: string;
  readonly agent: string;
  remove(): Promise<void>;
}

/** Bundles the two programs as they are now into a folder of their own, where they find the packages left outside. */
export async function buildPrograms(): Promise<Built> {
  const cache = join(repository, "node_modules/.cache");
  await mkdir(cache, { recursive: true });
  const directory = await mkdtemp(join(cache, "built-"));
  await promisify(execFile)(process.execPath, [join(repository, ".ci/build.mjs"), directory]);
  return {
    holdfast: join(directory, "holdfast.mjs"),
    agent: join(directory, "agent.mjs"),
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
