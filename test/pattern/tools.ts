import { execFile } from "node:child_process";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { borgPattern, resticPattern } from "../../shared/pattern-dialects.ts";
import { oldestAndNewest } from "../support/engines.ts";
import { bytesOf } from "./random-names.ts";

const run = promisify(execFile);

/** One backup tool with a repository of its own. Paths are one character for each byte. */
export interface Tool {
  readonly name: string;
  prepare(scratch: string): Promise<void>;
  /**
   * Backs the tree up, without what the patterns leave out, restores it elsewhere, and lists the files that are there.
   */
  kept(input: { scratch: string; root: string; patterns: readonly string[] }): Promise<Set<string>>;
}

interface Engine {
  readonly path: string;
  readonly version: string;
}

export function everyTool(): Tool[] {
  return [...oldestAndNewest("restic").map(resticTool), ...oldestAndNewest("borg").map(borgTool)];
}

function resticTool({ path, version }: Engine): Tool {
  const restic = (scratch: string, ...args: string[]): Promise<unknown> => {
    const env = {
      PATH: process.env["PATH"],
      RESTIC_PASSWORD: "patterns",
      RESTIC_REPOSITORY: join(scratch, `restic-${version}`),
      RESTIC_CACHE_DIR: join(scratch, "cache"),
    };
    return run(path, args, { env });
  };
  return {
    name: `restic ${version}`,
    prepare: async (scratch) => void (await restic(scratch, "init")),
    async kept({ scratch, root, patterns }) {
      await restic(scratch, "backup", ...patterns.map((pattern) => `--exclude=${resticPattern(pattern)}`), "--", root);
      const target = join(scratch, `restic-${version}-restored`);
      await restic(scratch, "restore", "latest", "--target", target);
      return await takeFiles(target);
    },
  };
}

function borgTool({ path, version }: Engine): Tool {
  const borg = (scratch: string, cwd: string, ...args: string[]): Promise<unknown> => {
    const env = {
      PATH: process.env["PATH"],
      LANG: "C.UTF-8",
      BORG_BASE_DIR: join(scratch, "borg-base"),
      BORG_REPO: join(scratch, `borg-${version}`),
    };
    return run(path, args, { env, cwd });
  };
  let count = 0;
  return {
    name: `borg ${version}`,
    prepare: async (scratch) => void (await borg(scratch, scratch, "init", "--encryption", "none")),
    async kept({ scratch, root, patterns }) {
      const archive = `::${++count}`;
      await borg(scratch, scratch, "create", ...patterns.map((one) => `--exclude=${borgPattern(one)}`), archive, root);
      const target = join(scratch, `borg-${version}-extracted`);
      await mkdir(target);
      await borg(scratch, target, "extract", archive);
      return await takeFiles(target);
    },
  };
}

/** Looked at as they are restored: what the tools list has lost the bytes that are not UTF-8. */
async function takeFiles(target: string): Promise<Set<string>> {
  const found = await filesIn(target);
  await rm(target, { recursive: true });
  return found;
}

/** The files below a directory, as paths from there. */
async function filesIn(directory: string): Promise<Set<string>> {
  const found = new Set<string>();
  const visit = async (path: string): Promise<void> => {
    const entries = await readdir(Buffer.from(path, "latin1"), { withFileTypes: true, encoding: "buffer" });
    for (const entry of entries) {
      const below = `${path}/${entry.name.toString("latin1")}`;
      if (entry.isDirectory()) await visit(below);
      else found.add(below.slice(bytesOf(directory).length));
    }
  };
  await visit(bytesOf(directory));
  return found;
}
