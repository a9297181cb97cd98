import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { forget, runUpkeep } from "../../agent/runs.ts";
import type { RunOutcome } from "../../agent/run/deps.ts";
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
      await host.policy({ level: "guarded", restore: "off", sources: [host.root] });
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
      const real = await stored({}, 5);
      const narrowed: Wanted = {
        sources: [`${host.root}/data/small`],
        settings: { retention: { keep_last: 1 } },
      };
      await stored(narrowed, 1);
      await ordered(host.work(narrowed));
      await prune(host.work(narrowed));
      expect(await listed()).toEqual(expect.arrayContaining(real));
    });
  },
);
