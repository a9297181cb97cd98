import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isMissing } from "../../shared/node/files.ts";

/** Where every distribution mounts control groups. */
const MOUNT = "/sys/fs/cgroup";

/**
 * The directories of a systemd unit's control group, one per hierarchy: one with cgroup v2, several with v1.
 * @param pid a process of the unit
 * @returns none when the process is gone, or is not in that unit
 */
export async function unitCgroups(pid: number, unit: string): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
  return possibleCgroups(text).filter((directory) => directory.split("/").includes(unit));
}

/** @param text of /proc/PID/cgroup, as cgroups(7) describes it */
export function possibleCgroups(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [, hierarchy, controllers = "", path = ""] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? [];
    if (hierarchy === undefined) return [];
    // With v1 beside it, v2 is mounted below.
    if (hierarchy === "0") return [join(MOUNT, path), join(MOUNT, "unified", path)];
    return [join(MOUNT, controllers.replace(/^name=/, ""), path)];
  });
}

/** Moves a process, and what it will start, into control groups. A hierarchy that is not mounted is left out. */
export async function moveToCgroups(pid: number, directories: readonly string[]): Promise<void> {
  let moved = 0;
  for (const directory of directories) {
    try {
      await writeFile(join(directory, "cgroup.procs"), `${pid}`, { flag: "r+" });
      moved++;
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  if (moved === 0) throw new Error("the unit's control group is gone");
}

/** How often the kernel ended a process of the group for a memory limit (cgroup v2); 0 when it can't be known. */
export async function memoryKills(directories: readonly string[]): Promise<number> {
  let kills = 0;
  for (const directory of directories) {
    const events = await readFile(join(directory, "memory.events"), "utf8").catch(() => "");
    kills += Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0);
  }
  return kills;
}
