import { spawn } from "node:child_process";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { everyRestic } from "../support/restic.ts";
import { until } from "../support/until.ts";
import { type EngineHost, newId, openEngineHost } from "./engine-host.ts";

describe.each(everyRestic())("the retention with restic $version", (restic) => {
  let host: EngineHost;
  beforeEach(async () => {
    host = await openEngineHost(restic);
    await host.write("data/file", "one");
  });
  afterEach(() => host.close());

  it("removes only the binding's own snapshots, in a run of its own, and keeps the newest whatever it says", async () => {
    const work = host.work({ settings: { retention: { keep_last: 1 } } });
    const other = { ...work, binding: { ...work.binding, id: newId(), name: "other" } };
    await host.backup(other);
    await host.backup(work);
    const { snapshot } = await host.backup(work);

    const { run, snapshots, engineId } = await host.report({ kind: "forget" });
    expect(run).toMatchObject({
      ...{ trigger: "retention", state: "succeeded", snapshot: null, binding: work.binding.id },
      stats: { snapshotsRemoved: 1, snapshotsKept: 1 },
    });
    expect(snapshots?.map(({ id }) => id)).toEqual([snapshot]);
    expect(engineId).toMatch(/^[0-9a-f]{64}$/);
    const all: { tags: string[] }[] = JSON.parse(host.restic(work, "snapshots", "--json"));
    expect(all.flatMap(({ tags }) => tags).toSorted()).toEqual(
      [`holdfast:${work.binding.id}`, `holdfast:${other.binding.id}`].toSorted(),
    );
  });

  it("that is empty removes nothing and begins no run; one that wants nothing kept keeps the newest", async () => {
    await host.backup(host.work());
    expect(await host.reports()).toHaveLength(1);
    const work = host.work({ settings: { retention: { keep_last: 0, keep_yearly: 1 } } });
    await host.backup(work);
    const { snapshot } = await host.backup(work);
    const { snapshots } = await host.report({ kind: "forget" });
    expect(snapshots?.map(({ id }) => id)).toContain(snapshot);
  });

  it("waits for another program's lock, then fails with that word; the backup before it is good", async () => {
    const work = host.work();
    await host.backup(work);
    const holder = spawn(restic.path, ["backup", "--stdin"], {
      stdio: ["pipe", "ignore", "ignore"],
      env: {
        ...process.env,
        RESTIC_REPOSITORY: join(host.root, "srv/repository"),
        RESTIC_PASSWORD_FILE: join(host.paths.secretsDir, work.binding.repository),
      },
    });
    const gone = new Promise((resolve) => holder.once("exit", resolve));
    await until("the other program's lock", async () => {
      return (await readdir(join(host.root, "srv/repository/locks"))).length > 0;
    });
    const kept = host.work({ settings: { retention: { keep_last: 1 } } });
    const outcome = await host.backup(kept);
    holder.kill("SIGKILL");
    await gone;
    expect(outcome).toMatchObject({ state: "succeeded" });
    const { run } = await host.report({ kind: "forget" });
    expect(run).toMatchObject({ state: "failed", failure: { code: "repository.locked" } });
  });

  it("is not believed: what is still listed was not removed", async () => {
    const work = host.work({ settings: { retention: { keep_last: 1 } } });
    await host.backup(work);
    const path = join(host.root, "restic");
    // As an append-only server does: it plans, deletes nothing, and some versions then exit with 0.
    const script = `#!/bin/sh\nif [ "$1" = forget ]; then exec ${restic.path} "$@" --dry-run --no-lock; fi\nexec ${restic.path} "$@"\n`;
    await writeFile(path, script, { mode: 0o755 });
    process.env["HOLDFAST_RESTIC"] = path;
    await host.backup(work);
    const { run, snapshots } = await host.report({ kind: "forget" });
    expect(run.failure).toMatchObject({ code: "engine.failed", next: expect.stringContaining("append-only") });
    expect(snapshots).toHaveLength(2);
  });
});
