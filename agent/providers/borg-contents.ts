import * as z from "zod";
import { RunError } from "../runner-failure.ts";
import type { BorgRunner } from "./borg-command.ts";
import { borgFailure } from "./borg-failures.ts";
import { readMessage } from "./borg-messages.ts";

const Item = z.object({ type: z.string(), path: z.string(), size: z.int().optional() });

/** One thing in an archive, at its absolute path. */
export interface Item {
  /** As the first letter of `ls -l` says it: "-" is a file, "d" a directory. */
  readonly type: string;
  readonly path: string;
  readonly size: number;
}

/**
 * Goes through what an archive holds. Bytes of a name that are not UTF-8 have "?" in their place: whether such a path is
 * there can't be looked up. Throws RunError.
 */
export async function eachItem(runner: BorgRunner, name: string, onItem: (item: Item) => void): Promise<void> {
  const { access } = runner;
  const ended = await runner.call({
    args: ["list", "--json-lines", "--log-json", "--bypass-lock", "--format", "{type}{path}{size}", `::${name}`],
    onStdout(line) {
      const item = readMessage(Item, line);
      if (item !== null) onItem({ type: item.type, path: `/${item.path}`, size: item.size ?? 0 });
    },
  });
  if (ended.cancelled) access.signal.throwIfAborted();
  if (ended.exitCode !== 0) throw new RunError(borgFailure(ended, { what: "list", redact: access.log.redact }));
}

/** Whether its name came through whole. */
export function canBeLookedUp({ path }: Pick<Item, "path">): boolean {
  return !path.includes("?");
}
