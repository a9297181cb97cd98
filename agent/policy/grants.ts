import * as z from "zod";
import { ApprovalKey, ApprovalKind } from "../../shared/approval.ts";
import { Instant, instant } from "../../shared/ids.ts";
import type { Paths } from "../config.ts";
import { acquireLock } from "../state/locks.ts";
import { isQuarantined, peekState, quarantine, writeState } from "../system/state-file.ts";
import type { Ask } from "./ask.ts";

/** Something root said yes to. */
const Grant = z.strictObject({
  key: ApprovalKey,
  kind: ApprovalKind,
  summary: z.string(),
  by: z
    .enum(["root", "installation", "upgrade"])
    .describe("who granted it; upgrade: it ran already when this host got a version that asks"),
  at: Instant,
});
export type Grant = z.infer<typeof Grant>;

const GrantsFile = z.strictObject({ grants: z.array(Grant) });

type GrantPaths = Pick<Paths, "grantsFile" | "locksDir">;

/** @returns null when this host has never had a list of grants: an agent before 0.2. A damaged one grants nothing. */
export async function readGrants(paths: Pick<Paths, "grantsFile">): Promise<readonly Grant[] | null> {
  const file = paths.grantsFile;
  const found = await peekState(file, GrantsFile);
  if (found === "damaged") {
    await quarantine(file);
    return [];
  }
  if (found === "none") return (await isQuarantined(file)) ? [] : null;
  return found.value.grants;
}

/** The keys of all that root granted. */
export async function grantedKeys(paths: Pick<Paths, "grantsFile">): Promise<ReadonlySet<string>> {
  return new Set((await readGrants(paths))?.map(({ key }) => key));
}

/** Adds what root grants. @returns those that were not granted before */
export async function recordGrants(
  { paths, clock }: { paths: GrantPaths; clock: { now(): number } },
  asks: readonly Pick<Ask, "key" | "kind" | "summary">[],
  by: Grant["by"],
): Promise<Grant[]> {
  return await changing(paths, async (before) => {
    const known = new Set(before.map(({ key }) => key));
    const at = instant(clock.now());
    const added = asks
      .filter(({ key }) => !known.has(key))
      .map(({ key, kind, summary }) => ({ key, kind, summary, by, at }));
    return { grants: [...before, ...unique(added)], result: unique(added) };
  });
}

/** Takes grants back. What runs on them waits for root again. @returns those that were taken back */
export async function revokeGrants(paths: GrantPaths, keys: readonly string[]): Promise<Grant[]> {
  return await changing(paths, async (before) => ({
    grants: before.filter(({ key }) => !keys.includes(key)),
    result: before.filter(({ key }) => keys.includes(key)),
  }));
}

async function changing<Result>(
  paths: GrantPaths,
  change: (before: readonly Grant[]) => Promise<{ grants: Grant[]; result: Result }>,
): Promise<Result> {
  const lock = await acquireLock(paths, {
    name: "grants",
    signal: new AbortController().signal,
    onWait: () => undefined,
  });
  try {
    const { grants, result } = await change((await readGrants(paths)) ?? []);
    await writeState(paths.grantsFile, { grants });
    return result;
  } finally {
    await lock.release();
  }
}

function unique<Item extends { key: string }>(items: readonly Item[]): Item[] {
  return [...new Map(items.map((item) => [item.key, item])).values()];
}
