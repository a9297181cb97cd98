import { join } from "node:path";
import * as z from "zod";
import type { Id } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { readState, writeState } from "../system/state-file.ts";

const microseconds = z.number().describe("since 1970; of the far future, no longer exact");

const KeptOtherwise = z.strictObject({
  path: z.string().describe("as in the snapshot's listing"),
  mtime: z
    .strictObject({ us: microseconds, storedUs: microseconds })
    .optional()
    .describe("what it was, and what is in the snapshot"),
  target: z.string().optional().describe("of a symbolic link, what it was: base64"),
});
/** An entry that the tool could not store as it was, and what it was. */
export type KeptOtherwise = z.infer<typeof KeptOtherwise>;

const Entries = z.strictObject({
  entries: z.array(KeptOtherwise),
  more: z.int().min(0).describe("how many more there were: too many to be remembered"),
});
/** Of one snapshot. */
export type EntriesKeptOtherwise = z.infer<typeof Entries>;

const Memory = z.strictObject({
  sets: z
    .array(Entries.extend({ snapshots: z.array(z.string()) }))
    .describe("newest last; snapshots with the same entries share a set"),
});

/** Of all snapshots together; the newest are remembered. */
const MOST_ENTRIES = 20_000;

interface Subject {
  readonly binding: Id;
  readonly engineId: string;
}

/** What this host remembers of a snapshot; nothing of one that another host made. */
export async function readKeptOtherwise(
  paths: Pick<Paths, "bindingsDir">,
  { snapshot, ...subject }: Subject & { snapshot: string },
): Promise<EntriesKeptOtherwise> {
  const memory = await readState(fileOf(paths, subject), Memory);
  return memory?.sets.find(({ snapshots }) => snapshots.includes(snapshot)) ?? { entries: [], more: 0 };
}

/**
 * Called with what a backup has stored otherwise. Costs nothing where that is nothing, as nearly always.
 * @param listed the binding's snapshots: all others are forgotten; null: not known
 */
export async function recordKeptOtherwise(
  paths: Pick<Paths, "bindingsDir">,
  {
    snapshot,
    listed,
    entries,
    more,
    ...subject
  }: Subject & EntriesKeptOtherwise & { snapshot: string; listed: readonly string[] | null },
): Promise<void> {
  if (entries.length === 0 && more === 0) return;
  const file = fileOf(paths, subject);
  const before = (await readState(file, Memory))?.sets ?? [];
  const isThere = new Set(listed);
  const left = before
    .map((set) => ({ ...set, snapshots: set.snapshots.filter((id) => listed === null || isThere.has(id)) }))
    .filter(({ snapshots }) => snapshots.length > 0);
  const last = left.at(-1);
  const isAsLast = last !== undefined && last.more === more && JSON.stringify(last.entries) === JSON.stringify(entries);
  const sets = isAsLast
    ? [...left.slice(0, -1), { ...last, snapshots: [...last.snapshots, snapshot] }]
    : [...left, { snapshots: [snapshot], entries: [...entries], more }];
  let count = 0;
  const newest = sets.toReversed().filter((set) => (count += set.entries.length) <= MOST_ENTRIES);
  await writeState(file, { sets: newest.toReversed() });
}

function fileOf({ bindingsDir }: Pick<Paths, "bindingsDir">, { binding, engineId }: Subject): string {
  return join(bindingsDir, `${binding}.kept-otherwise-${engineId.slice(0, 16)}.json`);
}
