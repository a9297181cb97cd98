import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readFile, readdir, rename, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { restore } from "../../agent/runs.ts";
import { RestoreRequest } from "../../shared/assignment.ts";
import { type EngineHost, newId, openEngineHost, textOf, type Work } from "../engine/engine-host.ts";
import { oneOfEach } from "../support/engines.ts";

// Who has the control plane's signing key orders restores of snapshots that he made himself. None of them may make him
// root.

describe.each(oneOfEach())("a restore that the control plane orders, with $provider $version", (engine) => {
  let host: EngineHost;
  let data: string;
  let work: Work;

  const ordered = ({ assignment, binding }: Work, request: Partial<RestoreRequest>) =>
    restore(host.deps, {
      assignment,
      binding,
      runId: newId(),
      trigger: "order",
      scheduledAt: null,
      signal: new AbortController().signal,
      restore: RestoreRequest.parse({ snapshot: "latest", ...request }),
    });

  beforeEach(async () => {
    host = await openEngineHost(engine);
    data = join(host.root, "data");
    await host.write("data/evil", "#!/bin/sh\ntouch /tmp/owned\n");
    work = host.work();
    const stored = await host.backup(work);
    if (stored.state !== "succeeded") throw new Error(`nothing to restore from: ${JSON.stringify(stored)}`);
  });
  afterEach(() => host.close());

  it("goes into no protected place, whether it is missing, empty or not, nor by a link to one", async () => {
    await host.policy({ restore: "staging" });
    const link = join(host.root, "link");
    await symlink(host.paths.etc, link);
    await rm(host.paths.hooksDir, { recursive: true, force: true });
    const refused = { state: "failed", failure: { code: "policy.refused" } };
    const targets = [
      host.paths.hooksDir,
      `${host.paths.hooksDir}/a/b`,
      join(link, "hooks.d"),
      "/root/.ssh",
      "/etc/cron.d/x",
    ];
    for (const target of targets) expect([target, await ordered(work, { target })]).toMatchObject([target, refused]);
    await mkdir(host.paths.hooksDir);
    expect(await ordered(work, { target: host.paths.hooksDir })).toMatchObject(refused);
    expect(await readdir(host.paths.hooksDir)).toEqual([]);
    expect(existsSync("/etc/cron.d/x")).toBe(false);
  });

  it("writes over none of the agent's own files in place, and says which it left; everything else is restored", async () => {
    const etc = join(host.root, "etc");
    await host.write("etc/app.conf", "of the snapshot");
    await host.policy({ hooks: "inline" });
    const everything = host.work({ sources: [etc] });
    expect(await host.backup(everything)).toMatchObject({ state: "succeeded" });
    await host.policy('{"level":"open","hooks":"off"}');
    await writeFile(join(etc, "app.conf"), "changed");
    const outcome = await ordered(everything, {});
    expect(outcome).toMatchObject({ state: "failed", failure: { code: "restore.incomplete" } });
    expect(outcome.items).toContainEqual({
      path: host.paths.policyJson,
      action: "failed",
      reason: expect.stringContaining("is protected on this host"),
    });
    expect(JSON.parse(await readFile(host.paths.policyJson, "utf8"))).toEqual({ level: "open", hooks: "off" });
    expect(await textOf(join(etc, "app.conf"))).toBe("of the snapshot");
    // Nor does one pass for restored that only looks the same.
    const { mtime } = await stat(join(etc, "app.conf"));
    await host.policy('{"level":"open","hooks":"inline"}');
    await utimes(host.paths.policyJson, mtime, mtime);
    expect(await host.backup(everything)).toMatchObject({ state: "succeeded" });
    await host.policy('{"level":"open","hooks":"named" }');
    await utimes(host.paths.policyJson, mtime, mtime);
    expect(await ordered(everything, {})).toMatchObject({ state: "failed", failure: { code: "restore.incomplete" } });
    // What is as in the snapshot already is no failure.
    await host.policy('{"level":"open","hooks":"inline"}');
    await ordered(everything, { include: [host.paths.policyJson], overwrite: "if-changed" });
    expect(JSON.parse(await readFile(host.paths.policyJson, "utf8"))).toEqual({ level: "open", hooks: "inline" });
  });

  it("is not led out of the sources by a link that the sources' owner put where a directory was", async () => {
    await host.write("data/link/cron.d/evil", "* * * * * root touch /tmp/owned\n");
    const stored = await host.backup(work);
    expect(stored).toMatchObject({ state: "succeeded" });
    const outside = join(host.root, "outside");
    await mkdir(join(outside, "cron.d"), { recursive: true });
    await rename(join(data, "link"), join(data, "was"));
    await symlink(outside, join(data, "link"));
    const outcome = await ordered(work, { include: [join(data, "link/cron.d")] });
    expect(outcome).toMatchObject({ state: "failed" });
    expect(outcome.items?.[0]?.reason).toContain("is a symbolic link: nothing is written through it");
    expect(await readdir(join(outside, "cron.d"))).toEqual([]);
    // The whole of it replaces the link by the directory that was there.
    expect(await ordered(work, { verify: false })).toMatchObject({ state: "succeeded" });
    expect(await readdir(outside)).toEqual(["cron.d"]);
    expect(await readdir(join(outside, "cron.d"))).toEqual([]);
    expect(await textOf(join(data, "link/cron.d/evil"))).toContain("root touch");
  });

  it("is not led out of a target by a link in it", async () => {
    const target = join(host.root, "target");
    const outside = join(host.root, "outside");
    await mkdir(join(target, data, ".."), { recursive: true });
    await mkdir(outside);
    await symlink(outside, join(target, data));
    const outcome = await ordered(work, { target, include: [join(data, "evil")], overwrite: "if-changed" });
    expect(outcome).toMatchObject({ state: "failed" });
    expect(await readdir(outside)).toEqual([]);
  });

  it("restores what is in a user's .ssh only when root names it on the host", async () => {
    const home = absentHome();
    const key = join(home, ".ssh/authorized_keys");
    await mkdir(join(home, ".ssh"), { recursive: true });
    try {
      await writeFile(key, "ssh-ed25519 AAAA mine");
      await writeFile(join(home, "letter"), "dear reader");
      const homes = host.work({ sources: [home] });
      expect(await host.backup(homes)).toMatchObject({ state: "succeeded" });
      await rm(join(home, ".ssh"), { recursive: true });
      await rm(join(home, "letter"));
      const outcome = await ordered(homes, { include: [home] });
      expect(outcome).toMatchObject({ state: "failed", failure: { code: "restore.incomplete" } });
      expect(outcome.warnings.join()).toContain("by naming it with --include");
      expect(await readdir(home)).toEqual(["letter"]);
      expect(await host.restore(homes, { include: [join(home, ".ssh")] })).toMatchObject({ state: "succeeded" });
      expect(await textOf(key)).toBe("ssh-ed25519 AAAA mine");
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  });

  it("changes no directory above a protected place", async () => {
    const odd = await host.write("etc/holdfast/../app.conf", "of the snapshot");
    execFileSync("chmod", ["777", join(host.root, "etc")]);
    const everything = host.work({ sources: [join(host.root, "etc")], excludes: ["holdfast"] });
    expect(await host.backup(everything)).toMatchObject({ state: "succeeded" });
    execFileSync("chmod", ["755", join(host.root, "etc")]);
    await rm(odd);
    await ordered(everything, {});
    expect((await stat(join(host.root, "etc"))).mode & 0o777).toBe(0o755);
    expect(await textOf(join(host.root, "etc/app.conf"))).toBe("of the snapshot");
  });
});

/** The home of a user of this machine that is not there: Debian has several, and nothing else makes them. */
function absentHome(): string {
  const homes = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":")[5] ?? "");
  const absent = homes.find((home) => home.startsWith("/var/") && existsSync(dirname(home)) && !existsSync(home));
  if (absent === undefined) throw new Error("every user of this machine has a home");
  return absent;
}
