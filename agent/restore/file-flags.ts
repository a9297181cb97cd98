import { closeSync, constants, openSync } from "node:fs";
import type { SnapshotNode } from "../providers/contents.ts";
import type { Access } from "../providers/provider.ts";
import { selfOf } from "../system/descriptors.ts";
import { type Disk, split } from "./disk.ts";
import { runTool } from "./run-tool.ts";

const AT_ONCE = 100;

/**
 * Gives files and directories their flags, such as immutable. Comes last: what has them can't be moved or changed.
 * Node can't; `chattr` of e2fsprogs can, which follows no link.
 * @returns why it could not be done; null when it was, or nothing had to be
 */
export async function setFileFlags(access: Access, disk: Disk, nodes: readonly SnapshotNode[]): Promise<string | null> {
  const reasons: string[] = [];
  // What is in a directory comes before it.
  const groups = groupsOf(nodes).toSorted((one, other) => (one.parent < other.parent ? 1 : -1));
  for (const { parent, flags, names } of groups) {
    for (let at = 0; at < names.length; at += AT_ONCE) {
      const reason = await setSome(access, disk, { parent, flags, names: names.slice(at, at + AT_ONCE) });
      if (reason !== null) reasons.push(reason);
    }
  }
  return reasons[0] ?? null;
}

interface FlagGroup {
  readonly parent: string;
  /** As chattr's letters. */
  readonly flags: string;
  readonly names: readonly string[];
}

function groupsOf(nodes: readonly SnapshotNode[]): FlagGroup[] {
  const groups = new Map<string, { parent: string; flags: string; names: string[] }>();
  for (const { path, flags } of nodes) {
    if (flags === undefined) continue;
    const { parent, name } = split(path);
    const group = groups.get(`${flags}${parent}`) ?? { parent, flags, names: [] };
    groups.set(`${flags}${parent}`, group);
    group.names.push(name);
  }
  return [...groups.values()];
}

async function setSome(access: Access, disk: Disk, { parent, flags, names }: FlagGroup): Promise<string | null> {
  const directory = disk.open(parent);
  if (directory === null) return `${parent} is not there`;
  // Its own descriptor: the disk closes its one when it is asked about the next.
  const own = openSync(selfOf(directory), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const places = names.map((name) => `/proc/${process.pid}/fd/${own}/${name}`);
    const { exitCode, stderr } = await runTool(access, "chattr", [`+${flags}`, "--", ...places]);
    return exitCode === 0
      ? null
      : (stderr.trim().split("\n")[0] ?? "chattr failed").replaceAll(`/proc/${process.pid}/fd/${own}`, parent);
  } finally {
    closeSync(own);
  }
}
