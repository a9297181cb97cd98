import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";

/** Programs that see other directories in some places, while everybody else sees what was there. */
export interface Mounts {
  /** Goes before a command that is to see them. */
  readonly inside: readonly string[];
  stop(): void;
}

/** @param places by path: the directory that is seen there */
export async function openMounts(places: Readonly<Record<string, string>>): Promise<Mounts> {
  for (const path of Object.keys(places)) mkdirSync(path, { recursive: true });
  const binds = 'while [ "$#" -gt 0 ]; do mount --bind "$2" "$1"; shift 2; done; echo ready; exec sleep infinity';
  const words = Object.entries(places).flat();
  const child = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-ec", binds, "sh", ...words], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once("data", () => resolve());
    child.once("exit", (code) => reject(new Error(`no mounts: unshare exited with ${code}`)));
  });
  return {
    inside: ["nsenter", `--mount=/proc/${child.pid}/ns/mnt`, "--"],
    stop: () => void child.kill("SIGKILL"),
  };
}
