import { readdir, readFile } from "node:fs/promises";

/** Everything that processes of this machine were started with, while it was looked at. */
export interface ArgvWatch {
  stop(): Promise<Set<string>>;
}

/** Looks at the process list as often as it can: what is in there for a moment is there for everybody. */
export function watchArgv(): ArgvWatch {
  const seen = new Set<string>();
  let isStopped = false;
  const look = async (): Promise<void> => {
    while (!isStopped) {
      const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name) && Number(name) > process.pid);
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
