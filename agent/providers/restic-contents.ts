import * as z from "zod";
import { RunError } from "../runner-failure.ts";
import type { ResticRunner } from "./restic-command.ts";
import { resticFailure } from "./restic-failures.ts";
import { readMessage } from "./restic-messages.ts";
import { matching } from "./snapshot-paths.ts";

const Node = z.object({ struct_type: z.literal("node"), type: z.string(), path: z.string(), size: z.int().optional() });
export type Node = z.infer<typeof Node>;

/**
 * Goes through what a snapshot holds at or below the paths, or all of it. Names that are not UTF-8 have U+FFFD in their
 * place: such a path can't be looked up. Throws RunError.
 */
export async function eachNode(
  runner: ResticRunner,
  { snapshot, include }: { snapshot: string; include: readonly string[] },
  onNode: (node: Node) => void,
): Promise<void> {
  const { restic, access } = runner;
  const ended = await runner.call({
    args: ["ls", "--json", "--no-lock", snapshot],
    onStdout(line) {
      const node = readMessage(Node, line);
      if (node !== null && (include.length === 0 || matching(node.path, include) !== undefined)) onNode(node);
    },
  });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode !== 0) throw new RunError(resticFailure(restic, ended, { what: "ls", redact: access.log.redact }));
}

/** Whether its name came through whole. */
export function canBeLookedUp({ path }: Node): boolean {
  return !path.includes("\ufffd");
}
