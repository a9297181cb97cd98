import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import * as z from "zod";
import type { Retention } from "../../shared/binding.ts";
import { planRetention } from "../../shared/retention.ts";
import { type Dice, diceOf } from "../support/random.ts";

const run = promisify(execFile);
const ZONE = "Europe/Berlin";
const HOUR_MS = 3_600_000;
const TAGS: [string, ...string[]] = ["release", "keep this"];
const SPANS: [string, ...string[]] = ["12h", "1d", "9d6h", "1m", "1y2m3d4h", "3y"];

const Listed = z.array(z.object({ id: z.string(), time: z.string(), tags: z.array(z.string()).default([]) }));
const Groups = z.array(
  z.object({
    remove: z.array(z.object({ id: z.string() })).nullable(),
    reasons: z.array(z.object({ snapshot: z.object({ id: z.string() }), matches: z.array(z.string()) })),
  }),
);

interface Compared {
  readonly decisions: number;
  readonly removed: number;
  readonly differences: readonly string[];
}

/**
 * Makes snapshots at random times, and asks restic itself and our plan which of them each of many retentions keeps, and
 * why.
 */
export async function compareRetention(
  restic: string,
  { snapshots, policies, seed }: { snapshots: number; policies: number; seed: number },
): Promise<Compared> {
  const dice = diceOf(seed);
  const scratch = await mkdtemp(join(tmpdir(), "holdfast-retention-"));
  const env = {
    PATH: process.env["PATH"],
    TZ: ZONE,
    RESTIC_PASSWORD: "retention",
    RESTIC_REPOSITORY: join(scratch, "repository"),
    RESTIC_CACHE_DIR: join(scratch, "cache"),
  };
  const call = async (...args: string[]): Promise<string> =>
    (await run(restic, args, { env, maxBuffer: 64 << 20 })).stdout;
  try {
    await call("init");
    await writeFile(join(scratch, "file"), "kept");
    for (const at of randomTimes(dice, snapshots)) {
      const tags = TAGS.filter(() => dice.isLucky(0.15)).flatMap((tag) => ["--tag", tag]);
      await call("backup", "--quiet", "--host", "h", ...tags, "--time", localText(at), join(scratch, "file"));
    }
    const listed = Listed.parse(JSON.parse(await call("snapshots", "--json")));
    const facts = listed.map(({ id, time, tags }) => ({ id, takenAt: new Date(time).toISOString(), tags }));
    const result = { decisions: 0, removed: 0, differences: [] as string[] };
    for (let count = 0; count < policies; count++) {
      const retention = randomRetention(dice);
      const text = await call(
        "forget",
        "--dry-run",
        "--json",
        "--no-lock",
        "--group-by",
        "host",
        ...flagsOf(retention),
      );
      const [group] = Groups.parse(JSON.parse(text));
      if (group === undefined) throw new Error("restic told of no group");
      const plan = planRetention({ snapshots: facts, retention, zone: ZONE, now: Date.now(), newestGood: null });
      for (const { snapshot, takenAt, keep, reasons } of plan) {
        result.decisions++;
        if (!keep) result.removed++;
        const theirs = group.reasons.find((one) => one.snapshot.id === snapshot)?.matches.map(inOurWords) ?? [];
        // Ours alone: restic's tags may leave none.
        const ours = reasons.filter((reason) => reason !== "the newest").map((reason) => reason.replace(/ \d+$/, ""));
        if (theirs.toSorted().join("; ") === ours.toSorted().join("; ")) continue;
        result.differences.push(
          `${JSON.stringify(retention)}, ${takenAt}: restic ${theirs.join("; ")}, we ${ours.join("; ")}`,
        );
      }
    }
    return result;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Some within an hour, a day, a month, some years apart; over the days the clocks change. */
function randomTimes(dice: Dice, count: number): number[] {
  let at = Date.parse("2026-11-01T02:30:00Z");
  return Array.from({ length: count }, () => {
    const hours = dice.pick([0.2, 1, 5, 12, 24, 24, 24, 24 * 6, 24 * 25, 24 * 200]);
    at -= Math.floor(hours * HOUR_MS * (0.5 + dice.below(100) / 100) + 1000);
    return Math.floor(at / 1000) * 1000;
  });
}

function randomRetention(dice: Dice): Retention {
  const retention: Retention = {};
  for (const rule of [
    "keep_last",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
  ] as const) {
    if (dice.isLucky(0.35)) retention[rule] = dice.isLucky(0.1) ? -1 : 1 + dice.below(8);
  }
  for (const rule of [
    "keep_within_hourly",
    "keep_within_daily",
    "keep_within_weekly",
    "keep_within_monthly",
    "keep_within_yearly",
  ] as const) {
    if (dice.isLucky(0.15)) retention[rule] = dice.pick(SPANS);
  }
  if (dice.isLucky(0.2))
    retention.keep_tag = dice.pick<string[]>([["release"], ["keep this,release"], TAGS, ["no such"]]);
  const isEmpty = Object.keys(retention).length === 0;
  if (isEmpty || dice.isLucky(0.3)) retention.keep_within = dice.pick(SPANS);
  return retention;
}

function flagsOf(retention: Retention): string[] {
  return Object.entries(retention).flatMap(([name, value]) =>
    [value].flat().flatMap((one) => [`--${name.replaceAll("_", "-")}`, one === -1 ? "unlimited" : `${one}`]),
  );
}

function inOurWords(match: string): string {
  const within = /^within (.*)$/.exec(match)?.[1];
  if (within !== undefined) return `keep_within ${within}`;
  const tags = /^has tags \[(.*)\]$/.exec(match)?.[1];
  if (tags !== undefined) return `keep_tag ${tags.replaceAll(", ", ",")}`;
  const [, old, each, span] = /^(oldest )?(\w+) within (.*)$/.exec(match) ?? [];
  if (each !== undefined) return `keep_within_${each} ${span}${old === undefined ? "" : ", the oldest"}`;
  const [, oldest, rule] = /^(oldest )?(\w+) snapshot$/.exec(match) ?? [];
  return `keep_${rule}${oldest === undefined ? "" : ", the oldest"}`;
}

/** As `--time` wants it, in the zone's own time. */
function localText(at: number): string {
  return new Date(at).toLocaleString("sv-SE", { timeZone: ZONE });
}
