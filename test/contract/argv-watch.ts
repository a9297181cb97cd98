import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

/** Everything that processes of this machine were started with, while it was looked at. */
export interface ArgvWatch {
  stop(): Promise<Set<string>>;
}

/** Looks at the process list as often as it can: what is in there for a moment is there for everybody. */
export async function watchArgv(): Promise<ArgvWatch> {
  const seen = new Set<string>();
  let isStopped = false;
  const before = new Set(await processes());
  const look = async (): Promise<void> => {
    while (!isStopped) {
      const pids = (await processes()).filter((pid) => !before.has(pid));
      const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
      for (const line of lines) seen.add(line.replaceAll("\0", " "));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const looking = look();
  return {
    async stop() {
      isStopped = true;
      await looking;
      return seen;
    },
  };
}

async function processes(): Promise<string[]> {
  return (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
}

/**
 * A tool that writes down what it, and every process above it, was started with. A look at the process list can miss
 * it.
 */
export interface ToolWrapper {
  /** The program to call in the tool's place. */
  readonly path: string;
  /** One line per process so far. */
  started(): Promise<string[]>;
}

/** @param tool the real one's path @param directory where the one in its place goes */
export async function wrapTool(tool: string, directory: string): Promise<ToolWrapper> {
  const path = join(directory, basename(tool));
  const list = `${path}.started`;
  const script = [
    "#!/bin/sh",
    "pid=$$",
    'while [ "$pid" -gt 1 ]; do',
    "  tr '\\0' ' ' </proc/$pid/cmdline",
    "  echo",
    "  pid=$(sed -n 's/^PPid:[[:space:]]*//p' /proc/$pid/status)",
    `done >>'${list}'`,
    `exec '${tool}' "$@"`,
  ];
  await writeFile(path, `${script.join("\n")}\n`, { mode: 0o755 });
  return { path, started: async () => (await readFile(list, "utf8")).split("\n") };
}
