import { randomBytes } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { runUpkeep } from "../../agent/runs.ts";
import { type RunOutcome } from "../../agent/run/deps.ts";
import { changeUpkeep, readUpkeep } from "../../agent/state/upkeep-state.ts";
import { Maintenance } from "../../shared/repository.ts";
import type { Trigger } from "../../shared/run.ts";
import { holdLock } from "../engine/held-lock.ts";
import { type EngineHost, newId, openEngineHost, type Work } from "../engine/engine-host.ts";
import { flip, largestIn } from "../support/damage.ts";
import { type FoundEngine, oneOfEach } from "../support/engines.ts";
import { newestRestic } from "../support/restic.ts";

let host: EngineHost;

function work(keep_last: number, repository: Partial<Work["assignment"]["repositories"][number]> = {}): Work {
  const maintenance = Maintenance.parse({ readDataParts: 2 });
  // The file that is to be pruned goes on purpose.
  const settings = { retention: { keep_last }, shrinkage: { percent: null } };
  return host.work({ settings, repository: { maintenance, ...repository } });
}

async function perform(kind: "prune" | "check", trigger: Trigger = "order", on = work(1)): Promise<RunOutcome> {
  const [repository] = on.assignment.repositories;
  if (repository === undefined) throw new Error("no repository");
  return await runUpkeep(host.deps, {
    kind,
    trigger,
    repository,
    assignment: on.assignment,
    runId: newId(),
    scheduledAt: null,
    signal: new AbortController().signal,
  });
}

describe.each(oneOfEach())("the upkeep with $provider $version", (engine) => {
  beforeEach(async () => {
    host = await openEngineHost(engine);
    await host.policy({ level: "open", keep: { snapshots: 1, days: 0 } });
    await host.write("data/small", "kept");
  });
  afterEach(() => host.close());

  it("frees removed snapshots; detects a changed byte within the parts, does not prune then, and recovers once it is intact", async () => {
    const big = join(host.root, "data/big");
    await writeFile(big, randomBytes(2_000_000));
    await host.backup(work(1));
    await rm(big);
    await writeFile(join(host.root, "data/other"), randomBytes(400_000));
    await host.backup(work(1));
    Object.assign(host.deps, { clockOffset: () => 6 * 60_000 });
    expect(await perform("prune")).toMatchObject({
      state: "warned",
      warnings: [expect.stringContaining("clock is 6 minutes behind, by its control plane's: nothing is removed")],
    });
    Object.assign(host.deps, { clockOffset: () => 5 * 60_000 });
    const pruned = await perform("prune");
    expect(pruned.state).toBe("succeeded");
    const { run, engineId } = await host.report(pruned);
    expect(run).toMatchObject({ kind: "prune", binding: null, repository: work(1).binding.repository });
    expect(run.stats?.bytesFreed).toBeGreaterThan(1_900_000);
    expect(engineId).toMatch(/^[0-9a-f]{64}$/);

    const { file, part } = dataFile(engine);
    const id = work(1).binding.repository;
    await changeUpkeep(host.paths, id, { nextPart: 3 - part });
    flip(file);
    if (engine.provider === "restic") {
      // The structure alone looks fine: what is wrong is in the other part.
      expect(await perform("check")).toMatchObject({ state: "succeeded" });
      expect((await readUpkeep(host.paths, id)).nextPart).toBe(part);
    }
    const found = await perform("check");
    expect(found).toMatchObject({ state: "failed", failure: { code: "repository.damaged" } });
    expect((await host.report(found)).run.failure?.next).toContain("docs/repair.md");
    expect(await perform("prune")).toMatchObject({ state: "failed", failure: { code: "repository.damaged" } });

    flip(file);
    const whole = await perform("check");
    expect(whole.state).toBe("succeeded");
    expect(await readUpkeep(host.paths, id)).toMatchObject({ damagedSince: null });
    expect((await host.report(whole)).log).toMatch(/part \d of 2 of the data/);
  });
});

describe("the upkeep of a repository", () => {
  const restic = newestRestic();
  beforeEach(async () => {
    host = await openEngineHost(restic);
    await host.write("data/file", "one");
  });
  afterEach(() => host.close());

  it("is deferred while another program holds the lock, longer each time, and fails after a day", async () => {
    await host.backup(work(1));
    const id = work(1).binding.repository;
    let now = Date.now();
    Object.assign(host.deps, { clock: { now: () => now } });
    const holder = await holdLock(host, restic);
    try {
      const minutesUntilAgain = async (): Promise<number> =>
        (Date.parse((await readUpkeep(host.paths, id)).prune?.againAt ?? "") - now) / 60_000;
      const putOff = { state: "cancelled", failure: { code: "repository.locked" } };
      expect(await perform("prune", "schedule")).toMatchObject(putOff);
      expect(await minutesUntilAgain()).toBe(10);
      now += 3_600_000;
      expect(await perform("prune", "catch-up")).toMatchObject(putOff);
      expect(await minutesUntilAgain()).toBe(20);
      now += 25 * 3_600_000;
      expect(await perform("prune", "catch-up")).toMatchObject({ ...putOff, state: "failed" });
      expect((await readUpkeep(host.paths, id)).prune).toBeNull();
    } finally {
      await holder.end();
    }
  });

  it("calls a repository whose packs are gone damaged, and does not prune it", async () => {
    await host.backup(work(1));
    await rm(join(host.root, "srv/repository/data"), { recursive: true });
    expect(await perform("check")).toMatchObject({ state: "failed", failure: { code: "repository.damaged" } });
    expect(await perform("prune")).toMatchObject({ state: "failed", failure: { code: "repository.damaged" } });
  });

  it("never prunes an append-only repository, and says who can", async () => {
    const outcome = await perform("prune", "order", work(1, { appendOnly: true }));
    expect(outcome).toMatchObject({ state: "failed", failure: { code: "repository.append_only" } });
    expect(outcome.failure?.next).toContain("where the repository may be written");
  });
});

/** The largest file, and the part of two that it is in: restic's parts go by the first byte of a pack's name. */
function dataFile({ provider }: FoundEngine): { file: string; part: number } {
  const file = largestIn(join(host.root, "srv/repository/data"));
  return { file, part: provider === "restic" ? (Number.parseInt(basename(file).slice(0, 2), 16) % 2) + 1 : 2 };
}
