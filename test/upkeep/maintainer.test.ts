import { readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { dispatchOrder } from "../../agent/daemon/dispatch.ts";
import { openQueue, type Queue } from "../../agent/daemon/queue.ts";
import { openBackupUnits } from "../../agent/daemon/units/backup-units.ts";
import { tasksOf } from "../../agent/daemon/tasks.ts";
import { readWaiting } from "../../agent/policy/waiting.ts";
import { runUpkeep } from "../../agent/runs.ts";
import type { AssignedRepository, Order } from "../../shared/assignment.ts";
import { Maintenance } from "../../shared/repository.ts";
import type { Run } from "../../shared/run.ts";
import { type EngineHost, newId, type Work } from "../engine/engine-host.ts";
import { openReadyHost } from "../engine/ready-host.ts";

describe("the host that maintains an append-only repository", () => {
  let host: EngineHost;
  /** As another host has it, and as this one does, which maintains it. */
  let [theirs, own]: [Work, Work] = [{} as Work, {} as Work];
  beforeEach(async () => {
    host = await openReadyHost();
    await host.policy({ keep: { snapshots: 1, days: 0 } });
    await host.write("data/file", "one");
    theirs = host.work({
      repository: { appendOnly: true, maintains: false },
      settings: { retention: { keep_last: 1 } },
    });
    const location = join(host.root, "srv/full-access");
    await symlink(join(host.root, "srv/repository"), location);
    const secret = await readFile(join(host.paths.secretsDir, theirs.binding.repository), "utf8");
    const passphrase = { file: await host.write("passphrase", secret) };
    own = asMaintainer(theirs, Maintenance.parse({ access: { location, passphrase } }));
  });
  afterEach(() => host.close());

  const asMaintainer = ({ assignment, binding }: Work, maintenance: Maintenance): Work => {
    const repositories = assignment.repositories.map((one): AssignedRepository => ({
      ...one,
      maintains: true,
      maintenance,
    }));
    const mine = { ...binding, id: newId(), name: "own" };
    return { assignment: { ...assignment, host: newId(), repositories, bindings: [mine] }, binding: mine };
  };
  /** What the run of an order ended with. */
  const ordered = async (work: Work): Promise<Omit<Run, "host" | "progress">> => {
    const [contract, repository] = [work.assignment.contracts[0], work.assignment.repositories[0]];
    if (contract === undefined || repository === undefined) throw new Error("no contract");
    const order: Order = {
      id: newId(),
      host: own.assignment.host,
      issuedAt: "2026-11-29T08:00:00.000Z",
      expiresAt: "2026-11-30T08:00:00.000Z",
      kind: "forget",
      binding: theirs.binding.id,
      dryRun: false,
      from: { host: theirs.assignment.host, binding: theirs.binding, contract, repository },
    };
    const ended = Promise.withResolvers<void>();
    const queue = {
      ...openQueue(1),
      add: (job: Parameters<Queue["add"]>[0]) =>
        void job.start(new AbortController().signal).then(ended.resolve, ended.reject),
    };
    const assignment = () => work.assignment;
    const interruptedRunsEnded = Promise.resolve();
    const inUnit = await openBackupUnits(host.deps);
    const deps = { runner: host.deps, queue, inUnit, newId, assignment, signed: assignment, interruptedRunsEnded };
    dispatchOrder(deps, order);
    await ended.promise;
    return (await host.report({ runId: order.id })).run;
  };

  it("applies another host's retention and prunes, by the access that it alone has", async () => {
    const made: (string | null)[] = [];
    for (let count = 0; count < 3; count++) made.push((await host.backup(theirs)).snapshot);
    expect(tasksOf(own.assignment).map(({ kind }) => kind)).toEqual(["backup", "prune", "check"]);
    const run = await ordered(own);
    expect(run).toMatchObject({ state: "succeeded", binding: theirs.binding.id, stats: { snapshotsRemoved: 2 } });
    expect(run.plan?.map(({ snapshot, keep }) => [snapshot, keep])).toEqual(made.map((one, at) => [one, at === 2]));
    const [repository] = own.assignment.repositories;
    if (repository === undefined) throw new Error("no repository");
    const pruned = await runUpkeep(host.deps, {
      assignment: own.assignment,
      repository,
      kind: "prune",
      runId: newId(),
      trigger: "schedule",
      scheduledAt: null,
      signal: new AbortController().signal,
    });
    expect(pruned).toMatchObject({ state: "succeeded", failure: null });
  });

  it("removes nothing without that access, where it does not maintain it, or before root has granted the place", async () => {
    await host.backup(theirs);
    await host.backup(theirs);
    expect(tasksOf(asMaintainer(theirs, Maintenance.parse({})).assignment).map(({ kind }) => kind)).not.toContain(
      "prune",
    );
    expect(await ordered(asMaintainer(theirs, Maintenance.parse({})))).toMatchObject({
      failure: { code: "repository.append_only" },
    });
    expect(await ordered(theirs)).toMatchObject({ failure: { code: "binding.unknown" } });
    await host.policy({ level: "guarded", keep: { snapshots: 1, days: 0 } });
    expect(await ordered(own)).toMatchObject({ failure: { code: "policy.approval_needed" } });
    expect((await readWaiting(host.deps)).map(({ kind }) => kind)).toEqual(["repository"]);
  });
});
