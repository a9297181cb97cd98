import { dirname } from "node:path";
import type { SnapshotNode } from "../providers/contents.ts";
import { runError } from "../run-error.ts";

/**
 * Refuses a listing that no backup makes: names that lead up, and entries in or beside a symbolic link of the same
 * snapshot. Whoever has the storage and the passphrase can make one, and borg would write through it.
 * @throws `repository.damaged`
 */
export function refuseCrafted(nodes: readonly SnapshotNode[]): void {
  const links = new Set(nodes.flatMap(({ path, type }) => (type === "symlink" ? [path] : [])));
  const fine = new Set<string>(["/"]);
  const isFine = (directory: string): boolean => {
    if (fine.has(directory)) return true;
    if (links.has(directory) || !isFine(dirname(directory))) return false;
    fine.add(directory);
    return true;
  };
  for (const { path, type } of nodes) {
    const isDouble = type !== "symlink" && links.has(path);
    if (isPlain(path) && !isDouble && isFine(dirname(path))) continue;
    throw runError(
      "repository.damaged",
      `the snapshot holds ${JSON.stringify(path)}, which no backup makes: somebody has made it by hand; nothing was restored`,
      "Find out who can write to the repository and knows its passphrase. Other snapshots may be what they should be.",
    );
  }
}

/** Absolute, without parts that lead elsewhere; `/.` is what borg calls the root. */
function isPlain(path: string): boolean {
  if (path === "/" || path === "/.") return true;
  const [first, ...parts] = path.split("/");
  return first === "" && parts.every((part) => part !== "" && part !== "." && part !== "..");
}
