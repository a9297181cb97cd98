import { readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { recordGrants } from "../../agent/policy/grants.ts";
import { readWaiting } from "../../agent/policy/waiting.ts";
import { forget, runUpkeep } from "../../agent/runs.ts";
import type { RunOutcome } from "../../agent/run/deps.ts";
import type { AssignedRepository } from "../../shared/assignment.ts";
import { openReadyHost } from "../engine/ready-host.ts";
import { type EngineHost, newId, openEngineHost, type Wanted, type Work } from "../engine/engine-host.ts";
import { oldestAndNewest } from "../support/engines.ts";

// Who has the control plane's signing key changes contracts and retention, and orders runs. No snapshot that the host
// keeps by its policy goes by that, and none at all in a rush.

describe.each([oldestAndNewest("restic")[1], oldestAndNewest("borg")[0]])(
  "deletion by who has the signing key, with $provider $version",
  (engine) => {
    let host: EngineHost;
    beforeEach(async () => {
      host = await openEngineHost(engine);
      await host.policy({ level: "guarded", restore: "off", sources: [host.root], repositories: [host.root] });
      await host.write("data/file", "one");
      await host.write("data/small/file", "two");
    });
    afterEach(() => host.close());

    const start = () => ({
      runId: newId(),
      trigger: "order" as const,
      scheduledAt: null,
      signal: new AbortController().signal,
    });
    const ordered = ({ assignment, binding }: Work, dryRun = false): Promise<RunOutcome> =>
      forget(host.deps, { assignment, binding, dryRun, ...start() });
    const prune = async ({ assignment }: Work): Promise<RunOutcome> => {
      const [repository] = assignment.repositories;
      if (repository === undefined) throw new Error("no repository");
      return await runUpkeep(host.deps, { assignment, repository, kind: "prune", ...start() });
    };
    const listed = async (): Promise<string[]> => {
      const { snapshots } = await host.report(await ordered(host.work({ settings: { retention: {} } }), true));
      return (snapshots ?? []).map(({ id }) => id);
    };
    const stored = async (wanted: Wanted, count: number): Promise<string[]> => {
      const made: string[] = [];
      for (let one = 0; one < count; one++) {
        const { snapshot, state } = await host.backup(host.work(wanted));
        if (snapshot === null) throw new Error(`nothing stored: ${state}`);
        made.push(snapshot);
      }
      return made;
    };

    it("narrows the sources, keeps one, backs up, forgets and prunes: every real snapshot is still there", async () => {
      const real = await stored({}, 4);
      const narrowed: Wanted = {
        sources: [`${host.root}/data/small`],
        settings: { retention: { keep_last: 1 } },
      };
      await stored(narrowed, 1);
      const forgotten = await ordered(host.work(narrowed));
      expect(forgotten).toMatchObject({ state: "warned", stats: { snapshotsRemoved: 0 } });
      expect(forgotten.warnings).toEqual([expect.stringMatching(/until root says yes on this host/)]);
      expect(await readWaiting(host.deps)).toMatchObject([
        { kind: "forget", bindings: ["files-nas"], summary: expect.stringContaining("Remove ") },
      ]);
      await prune(host.work(narrowed));
      expect(await listed()).toEqual(expect.arrayContaining(real));
      // Wide again, it still may not remove more than half of them at once, nor ever the newest three.
      const rushed = { settings: { retention: { keep_last: 1 } } };
      expect(await ordered(host.work(rushed))).toMatchObject({ state: "warned", stats: { snapshotsRemoved: 0 } });
      await host.policy({ level: "open", restore: "off" });
      expect(await ordered(host.work(rushed))).toMatchObject({ state: "warned", stats: { snapshotsRemoved: 1 } });
      expect(await listed()).toEqual(expect.arrayContaining(real.slice(-3)));
    });
  },
);

describe("append-only, whatever the assignment says", () => {
  let host: EngineHost;
  beforeEach(async () => {
    host = await openReadyHost();
    await host.write("data/file", "one");
  });
  afterEach(() => host.close());

  const work = (repository: Partial<AssignedRepository> = {}): Work =>
    host.work({ repository, settings: { retention: { keep_last: 1 } } });
  const start = () => ({
    runId: newId(),
    trigger: "order" as const,
    scheduledAt: null,
    signal: new AbortController().signal,
  });
  /** What forget and prune end with. */
  const removal = async ({ assignment, binding }: Work): Promise<RunOutcome[]> => {
    const [repository] = assignment.repositories;
    if (repository === undefined) throw new Error("no repository");
    return [
      await forget(host.deps, { assignment, binding, dryRun: false, ...start() }),
      await runUpkeep(host.deps, { assignment, repository, kind: "prune", ...start() }),
    ];
  };
  const refused = (message: string) => {
    const failure = { code: "policy.refused", message: expect.stringContaining(message) };
    return [
      { state: "failed", failure },
      { state: "failed", failure },
    ];
  };

  const waits = { state: "failed", failure: { code: "policy.approval_needed" } };

  it("is a repository that the policy names", async () => {
    await host.policy({ level: "open", appendOnly: [`${host.root}/srv`] });
    await host.backup(work());
    const { runId } = await host.backup(work());
    expect((await host.report({ runId })).log).toContain("old snapshots are not removed: the host's policy says");
    expect(await removal(work())).toMatchObject(refused("the host's policy says that it only adds to"));
    expect((await host.refusals()).map(({ code }) => code)).toEqual(["policy.append_only", "policy.append_only"]);
  });

  it("is one that was append-only before, by this place or another name of it", async () => {
    await host.policy({ level: "guarded", repositories: [host.root], secrets: [host.root] });
    await host.backup(work({ appendOnly: true }));
    await host.backup(work());
    expect(await removal(work())).toMatchObject([waits, waits]);
    const elsewhere = { id: newId(), location: join(host.root, "srv/link") };
    await symlink(join(host.root, "srv/repository"), elsewhere.location);
    const secret = await readFile(join(host.paths.secretsDir, work().binding.repository), "utf8");
    const renamed = work({ ...elsewhere, passphrase: { file: await host.write("passphrase", secret) } });
    const binding = { ...renamed.binding, repository: elsewhere.id };
    const outcomes = await removal({ binding, assignment: { ...renamed.assignment, bindings: [binding] } });
    expect(outcomes).toMatchObject([waits, waits]);
    const asks = await readWaiting(host.deps);
    expect(asks.map(({ kind }) => kind)).toEqual(["append-only", "append-only"]);
    // Root's yes is for one place; the floor holds there as anywhere.
    await recordGrants(host.deps, asks.slice(0, 1), "root");
    expect(await removal(work())).toMatchObject([
      { state: "succeeded", stats: { snapshotsRemoved: 0 } },
      { failure: null },
    ]);
  });
});
