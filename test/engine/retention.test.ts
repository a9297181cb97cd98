import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { recordGoodSnapshot } from "../../agent/state/good-snapshot.ts";
import { forget } from "../../agent/runs.ts";
import { type RunOutcome } from "../../agent/run/deps.ts";
import { type FoundEngine, oldestAndNewest, oneOfEach } from "../support/engines.ts";
import { holdLock } from "./held-lock.ts";
import { type EngineHost, newId, openEngineHost, useEngine, type Work } from "./engine-host.ts";

let host: EngineHost;
const [RESTIC, BORG] = [oldestAndNewest("restic"), oldestAndNewest("borg")];

describe.each(oneOfEach())("the retention with $provider $version", (engine) => {
  const { keeping, ask } = onHost(engine);

  it("first shows which snapshots it removes and why others stay, then removes them, of this binding only", async () => {
    const work = host.work();
    const other = { ...work, binding: { ...work.binding, id: newId(), name: "other" } };
    const { snapshot: others } = await host.backup(other);
    const { snapshot: oldest } = await host.backup(work);
    const { snapshot: middle } = await host.backup(work);

    const planned = await ask(keeping(1), true);
    expect(planned).toMatchObject({
      state: "succeeded",
      plan: [
        { snapshot: oldest, keep: false, reasons: [] },
        { snapshot: middle, keep: true, reasons: ["keep_last 1"] },
      ],
    });
    const dry = await host.report(planned);
    expect(dry.run).toMatchObject({
      kind: "forget",
      plan: planned.plan,
      stats: { snapshotsRemoved: 0, snapshotsKept: 2 },
    });
    expect(dry.snapshots).toHaveLength(2);
    expect(dry.log).toContain("dry run");

    const { snapshot } = await host.backup(keeping(1));
    const { run, snapshots, engineId } = await host.report({ kind: "forget" });
    expect(run).toMatchObject({
      trigger: "retention",
      state: "succeeded",
      snapshot: null,
      binding: work.binding.id,
      stats: { snapshotsRemoved: 2, snapshotsKept: 1 },
    });
    expect(run.plan?.flatMap((one) => (one.keep ? [] : [one.snapshot]))).toEqual([oldest, middle]);
    expect(snapshots?.map(({ id }) => id)).toEqual([snapshot]);
    expect(engineId).toMatch(/^[0-9a-f]{64}$/);
    await host.backup(other);
    expect((await host.report({ kind: "backup" })).snapshots?.map(({ id }) => id)).toContain(others);
  });
});

/** What does not hang on the tool's version: the oldest of one and the newest of the other. */
describe.each([RESTIC[1], BORG[0]])("the retention with $provider $version", (engine) => {
  const { keeping, ask } = onHost(engine);

  it("that is empty starts no run; the newest and the newest good snapshot always stay", async () => {
    const { snapshot: good } = await host.backup(host.work());
    const { snapshot: bad } = await host.backup(host.work());
    expect(await host.reports()).toHaveLength(2);
    // As after a backup that stored something, and did not end well.
    await recordGoodSnapshot(host.paths, {
      binding: host.work().binding.id,
      snapshot: good ?? "",
      at: "2026-11-23T08:00:00.000Z",
    });
    expect(await ask(keeping(1), false)).toMatchObject({
      state: "succeeded",
      plan: [
        { snapshot: good, reasons: ["the newest good one"] },
        { snapshot: bad, reasons: ["keep_last 1"] },
      ],
    });
  });

  it("keeps what a person tagged with restic; borg has no tags, and says so before anything is removed", async () => {
    const work = host.work({ settings: { retention: { keep_tag: ["keep"] } } });
    await host.backup(host.work());
    if (engine.provider === "borg") {
      expect(await ask(work, false)).toMatchObject({
        state: "failed",
        failure: { code: "engine.refused", message: expect.stringContaining("keep_tag: borg 1 has no tags") },
      });
      return;
    }
    host.restic(work, "tag", "--quiet", "--add", "keep");
    await host.backup(host.work());
    await host.backup(host.work());
    const forgotten = await ask(work, false);
    expect(forgotten.plan?.map(({ reasons }) => reasons)).toEqual([["keep_tag keep"], [], ["the newest"]]);
    // Which tags there are is nobody's business but the host's.
    const { snapshots } = await host.report(forgotten);
    expect(snapshots?.map((one) => Object.keys(one).toSorted())).toEqual(
      Array(2).fill(["bytesTotal", "id", "paths", "takenAt"]),
    );
  });

  it("waits for another program's lock, and is then deferred to the next time, which is no failure", async () => {
    await host.backup(host.work());
    await host.backup(host.work());
    const holder = await holdLock(host, engine);
    try {
      expect(await ask(keeping(1), true)).toMatchObject({ state: "succeeded" });
      const outcome = await ask(keeping(1), false);
      expect(outcome).toMatchObject({ state: "cancelled", failure: { code: "repository.locked" } });
      expect((await host.report(outcome)).snapshots).toHaveLength(2);
    } finally {
      await holder.end();
    }
  });

  it("is verified: a snapshot that is still listed was not removed", async () => {
    const work = keeping(1);
    await host.backup(work);
    const path = join(host.root, engine.provider);
    // As an append-only server does: it deletes nothing, and some versions then exit with 0.
    const script = `#!/bin/sh\ncase " $* " in *" forget "* | *" delete "*) exit 0 ;; esac\nexec ${engine.path} "$@"\n`;
    await writeFile(path, script, { mode: 0o755 });
    useEngine({ ...engine, path });
    await host.backup(work);
    const { run, snapshots } = await host.report({ kind: "forget" });
    expect(run.failure).toMatchObject({ code: "engine.failed", next: expect.stringContaining("append-only") });
    expect(snapshots).toHaveLength(2);
  });

  it("does not run for an append-only repository or with a wrong clock, and reports it", async () => {
    const repository = { appendOnly: true };
    const appendOnly = host.work({ repository, settings: { retention: { keep_last: 1 } } });
    await host.backup(appendOnly);
    const { runId } = await host.backup(appendOnly);
    expect((await host.report({ runId })).log).toContain(
      'old snapshots are not removed: repository "nas" is append-only',
    );
    expect((await host.reports()).map(({ run }) => run.kind)).toEqual(["backup", "backup"]);
    const refused = await ask(appendOnly, false);
    expect(refused).toMatchObject({ state: "failed", failure: { code: "repository.append_only" } });
    expect((await ask(appendOnly, true)).plan?.map(({ keep }) => keep)).toEqual([false, true]);

    // What was append-only stays so until root says otherwise; here root trusts the control plane.
    await host.policy({ level: "open", keep: { snapshots: 1, days: 0 } });
    Object.assign(host.deps, { clockOffset: () => -86_400_000 });
    const wrong = await ask(keeping(1), false);
    const { run, snapshots } = await host.report(wrong);
    expect(wrong.state).toBe("warned");
    expect(run.warnings).toEqual([expect.stringContaining("clock is 24 hours ahead, by its control plane's")]);
    expect(snapshots).toHaveLength(2);
  });
});

function onHost(engine: FoundEngine) {
  beforeEach(async () => {
    host = await openEngineHost(engine);
    await host.policy({ level: "guarded", repositories: [host.root], keep: { snapshots: 1, days: 0 } });
    await host.write("data/file", "one");
  });
  afterEach(() => host.close());
  return {
    keeping: (keep_last: number): Work => host.work({ settings: { retention: { keep_last } } }),
    ask: (work: Work, dryRun: boolean): Promise<RunOutcome> =>
      forget(host.deps, {
        ...work,
        dryRun,
        runId: newId(),
        trigger: "order",
        scheduledAt: null,
        signal: new AbortController().signal,
      }),
  };
}
