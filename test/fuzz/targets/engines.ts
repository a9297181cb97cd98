import * as z from "zod";
import { backup as borgBackup } from "../../../agent/providers/borg/backup.ts";
import { check as borgCheck } from "../../../agent/providers/borg/check.ts";
import { forget as borgForget } from "../../../agent/providers/borg/forget.ts";
import { prune as borgPrune } from "../../../agent/providers/borg/prune.ts";
import { ensureBorgRepository } from "../../../agent/providers/borg/repository.ts";
import { borgContents } from "../../../agent/providers/borg/restore.ts";
import { listArchives as borgSnapshots } from "../../../agent/providers/borg/snapshots.ts";
import { isAtLeast } from "../../../agent/providers/engine-version.ts";
import { removeStaleLocks } from "../../../agent/providers/restic/locks.ts";
import { backup as resticBackup } from "../../../agent/providers/restic/backup.ts";
import { check as resticCheck } from "../../../agent/providers/restic/check.ts";
import { forget as resticForget } from "../../../agent/providers/restic/forget.ts";
import { prune as resticPrune } from "../../../agent/providers/restic/prune.ts";
import { ensureResticRepository } from "../../../agent/providers/restic/repository.ts";
import { resticContents } from "../../../agent/providers/restic/restore.ts";
import { listSnapshots as resticSnapshots } from "../../../agent/providers/restic/snapshots.ts";
import type { BackupResult } from "../../../agent/providers/provider.ts";
import type { NodeContent, SnapshotContents, SnapshotNode } from "../../../agent/providers/contents.ts";
import { RunError } from "../../../agent/run-error.ts";
import { RunFailure } from "../../../shared/failure.ts";
import { Progress, RunStats, SnapshotFacts } from "../../../shared/run.ts";
import type { Dice } from "../../support/random.ts";
import { accessOf, fakeEngine, memoryOf } from "../fake-engine.ts";
import { one } from "../mutation.ts";
import { spoiledTar } from "../tar.ts";
import { mustHold, type Target } from "../target.ts";

/**
 * What restic and borg print, spoiled: a run ends with a word for it and nothing else, and what it reports is what the
 * control plane takes; else the report would come back for ever.
 */
export const engines: Target = {
  name: "engines",
  share: 20,
  casesPerRound: 20_000,
  begin: () =>
    Promise.resolve({
      async play(dice) {
        const action = one(dice, ACTIONS);
        try {
          await action(dice);
        } catch (error) {
          if (!(error instanceof RunError)) throw error;
          mustHold(
            RunFailure.safeParse(error.failure).success,
            () => `no failure that can be reported: ${JSON.stringify(error.failure)}`,
          );
        }
      },
      end: () => Promise.resolve(),
    }),
};

const resticAccess = accessOf("restic");
const borgAccess = accessOf("borg");

function restic(dice: Dice) {
  const version = dice.pick(["0.14.0", "0.16.4", "0.17.3", "0.19.1"]);
  const engine = { path: "/usr/bin/restic", version, isAtLeast: (wanted: string) => isAtLeast(version, wanted) };
  return {
    restic: engine,
    cache: null,
    ...fakeEngine(dice, "restic", resticAccess, { stdout: () => spoiledTar(dice) }),
  };
}

function borg(dice: Dice) {
  const version = dice.pick(["1.2.4", "1.4.0"]);
  const engine = { path: "/usr/bin/borg", version, isAtLeast: (wanted: string) => isAtLeast(version, wanted) };
  return { borg: engine, ...fakeEngine(dice, "borg", borgAccess) };
}

const input = {
  sources: ["/srv/photos"],
  excludes: ["*.tmp"],
  onProgress: (progress: Progress) => report(Progress, progress),
};
const UNWANTED = [
  "7dee455e563345d1e6ceb235767ad788294bf1034878635cd8f7e7ac04",
  "774467151eac5203b690f91d5d314dc91ae2eab28b61d05b5bec3587c8081203",
];

const BEFORE = UNWANTED.map((id) => ({
  id,
  name: `of ${id}`,
  takenAt: "2026-11-22T08:00:00.000Z",
  paths: ["/srv/photos"],
  bytesTotal: null,
}));

const ACTIONS: readonly ((dice: Dice) => Promise<unknown>)[] = [
  async (dice) =>
    judgeBackup(await resticBackup({ runner: restic(dice), memory: memoryOf(dice.pick([null, BEFORE])) }, input)),
  async (dice) =>
    judgeBackup(await borgBackup({ runner: borg(dice), memory: memoryOf(dice.pick([null, BEFORE])) }, input)),
  async (dice) => report(z.array(SnapshotFacts), await resticSnapshots(restic(dice))),
  async (dice) => report(z.array(SnapshotFacts), await borgSnapshots(borg(dice))),
  async (dice) =>
    report(
      z.array(SnapshotFacts),
      (await resticForget({ runner: restic(dice), memory: memoryOf(null) }, { before: BEFORE, unwanted: UNWANTED }))
        .snapshots,
    ),
  async (dice) =>
    report(
      z.array(SnapshotFacts),
      (await borgForget({ runner: borg(dice), memory: memoryOf(null) }, { listed: BEFORE, unwanted: UNWANTED }))
        .snapshots,
    ),
  async (dice) => report(RunStats, (await resticPrune(restic(dice))).stats),
  async (dice) => report(RunStats, (await borgPrune(borg(dice))).stats),
  async (dice) => report(RunFailure.nullable(), (await resticCheck(restic(dice), { part: 1, parts: 2 })).failure),
  async (dice) => report(RunFailure.nullable(), (await borgCheck(borg(dice), { part: 1, parts: 2 })).failure),
  (dice) => removeStaleLocks(restic(dice), { pid: 999_999_999, startTicks: "1@none" }),
  (dice) => restored(resticContents(restic(dice))),
  (dice) => restored(borgContents(borg(dice))),
  (dice) => identified(() => ensureResticRepository(restic(dice), { mayCreate: false })),
  (dice) => identified(() => ensureBorgRepository(borg(dice), { mayCreate: false })),
];

/** Nothing is remembered on the disk here: that it would be is enough. */
async function identified(identify: () => Promise<string>): Promise<void> {
  try {
    await identify();
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

function judgeBackup({ snapshot, failure, warnings, stats, snapshots }: BackupResult): void {
  report(z.array(SnapshotFacts).max(10_000).nullable(), snapshots);
  report(RunStats.nullable(), stats);
  report(RunFailure.nullable(), failure);
  report(z.array(z.string().max(4096)).max(100), warnings);
  if (snapshot === null) return;
  mustHold(
    snapshots?.some(({ id }) => id === snapshot.id) === true,
    () => `${snapshot.id} is no snapshot that is listed`,
  );
  mustHold(/^[0-9a-f]{64}$/.test(snapshot.id), () => `${snapshot.id} is no snapshot's id`);
}

async function restored(tool: SnapshotContents): Promise<void> {
  const nodes: SnapshotNode[] = [];
  await tool.list(UNWANTED[1] ?? "", (node) => {
    mustHold([node.uid, node.gid, node.mode].every(Number.isInteger), () => JSON.stringify(node));
    nodes.push(node);
  });
  const contents: NodeContent[] = [];
  await tool.readContents(
    { snapshot: UNWANTED[1] ?? "", include: [], nodes },
    (content) => void contents.push(content),
  );
}

function report(schema: z.ZodType, value: unknown): void {
  const parsed = schema.safeParse(value);
  mustHold(
    parsed.success,
    () => `the control plane would not take this: ${JSON.stringify(value)?.slice(0, 500)}: ${parsed.error?.message}`,
  );
}
