import type { Fidelity } from "../providers/contents.ts";
import type { KeptOtherwise } from "../state/kept-otherwise.ts";
import type { Measured } from "./measure-sources.ts";

const MOST_NAMED = 5;
const LONGEST_NAME = 120;

/** What the tool stores otherwise than it is: one warning for each kind. */
export function describeNotKept(keeps: Fidelity, { odd, keptOtherwise }: Measured): string[] {
  const named = (kind: "mtime" | "target", count: number): string => listed(pathsOf(keptOtherwise, kind), count);
  const warnings: string[] = [];
  if (odd.time > 0) {
    const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
    const which = `before ${day(keeps.oldestMs)} or after ${day(keeps.newestMs)}`;
    warnings.push(
      `${keeps.engine} does not store times ${which}, but the nearest that it can: ${named("mtime", odd.time)}`,
    );
  }
  if (odd.target > 0) {
    const links = named("target", odd.target);
    warnings.push(`${keeps.engine} stores another target for links whose target is not UTF-8: ${links}`);
  }
  return warnings;
}

/** What is in no snapshot by design: not worth a warning. Null when there is nothing. */
export function describeLeftOut({ odd, sockets }: Measured): string | null {
  if (odd.socket === 0) return null;
  return `sockets are not restored, their programs make them again: ${listed(sockets, odd.socket)}`;
}

/** How many are too many to be remembered, of times and targets together. */
export function countNotRemembered({ odd, keptOtherwise }: Measured): number {
  const remembered = pathsOf(keptOtherwise, "mtime").length + pathsOf(keptOtherwise, "target").length;
  return odd.time + odd.target - remembered;
}

function pathsOf(entries: readonly KeptOtherwise[], kind: "mtime" | "target"): string[] {
  return entries.filter((entry) => entry[kind] !== undefined).map(({ path }) => path);
}

/** The first of them, and how many more there are. */
function listed(paths: readonly string[], count: number): string {
  const shown = paths
    .slice(0, MOST_NAMED)
    .map((path) => (path.length > LONGEST_NAME ? `…${path.slice(-LONGEST_NAME)}` : path));
  const more = count - shown.length;
  return `${shown.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
