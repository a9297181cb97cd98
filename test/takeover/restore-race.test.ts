import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { restore } from "../../agent/runs.ts";
import { RestoreRequest } from "../../shared/assignment.ts";
import { type EngineHost, newId, openEngineHost, textOf, useEngine, type Work } from "../engine/engine-host.ts";
import { oneOfEach } from "../support/engines.ts";

// The owner of a source has an account and no rights. While root restores what is his, he renames directories and puts
// symbolic links in their places: nothing may be written, removed or changed where they lead.

const OWNER = 4242;
/** With HOLDFAST_RACES=300, as many restores are raced as the promise deserves. */
const RACES = Number(process.env["HOLDFAST_RACES"] ?? 3);

describe.each(oneOfEach())("a restore beneath directories of others, with $provider $version", (engine) => {
  let host: EngineHost;
  let data: string;
  let outside: string;
  let work: Work;
  let racer: ChildProcess | null = null;

  const ordered = (request: Partial<RestoreRequest>) =>
    restore(host.deps, {
      assignment: work.assignment,
      binding: work.binding,
      runId: newId(),
      trigger: "manual",
      scheduledAt: null,
      signal: new AbortController().signal,
      restore: RestoreRequest.parse({ snapshot: "latest", verify: false, ...request }),
    });

  beforeEach(async () => {
    host = await openEngineHost(engine);
    data = join(host.root, "data");
    outside = join(host.root, "outside");
    for (const name of ["one", "two", "deep/three"]) await host.write(`data/inner/${name}`, `evil ${name}`);
    await host.write("data/other", "other");
    execFileSync("chown", ["-R", `${OWNER}:${OWNER}`, data]);
    execFileSync("find", [data, "-exec", "touch", "-d", "2020-01-02 03:04:05.5", "{}", "+"]);
    execFileSync("setfacl", ["-m", "u:nobody:rx,d:u:nobody:rx", join(data, "inner")]);
    await mkdir(join(outside, "deep"), { recursive: true });
    await writeFile(join(outside, "canary"), "sings");
    work = host.work();
    const stored = await host.backup(work);
    if (stored.state !== "succeeded") throw new Error(`nothing to restore from: ${JSON.stringify(stored)}`);
  });
  afterEach(async () => {
    if (racer !== null && racer.exitCode === null) {
      racer.kill("SIGKILL");
      await once(racer, "exit");
    }
    racer = null;
    await host.close();
  });

  const describeOutside = async () => {
    const facts = async (path: string) => {
      const { mode, uid, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
      return { mode, uid, mtimeNs, ctimeNs };
    };
    const paths = [outside, join(outside, "deep"), join(outside, "canary")];
    const names = [await readdir(outside), await readdir(join(outside, "deep"))];
    return { names, facts: await Promise.all(paths.map(facts)), canary: await textOf(join(outside, "canary")) };
  };

  /** The tool, with something that happens before it writes, or after. */
  const around = async ({ before = ":", after = ":" }: { before?: string; after?: string }): Promise<void> => {
    const path = join(host.root, "tool");
    const script = [
      "#!/bin/sh",
      'case " $* " in *" restore "* | *" extract "*)',
      `${before}\n"${engine.path}" "$@"; status=$?\n${after}\nexit $status;; esac`,
      `exec "${engine.path}" "$@"`,
    ];
    await writeFile(path, script.join("\n"), { mode: 0o755 });
    useEngine({ ...engine, path });
  };
  const swap = () => `mv ${data}/inner ${data}/was-$$; ln -s ${outside} ${data}/inner`;

  it("is not led away by a link that comes between the check and the writing", async () => {
    const was = await describeOutside();
    await around({ before: swap() });
    for (const include of [[join(data, "inner/one"), join(data, "inner/deep")], []]) {
      await ordered({ include });
      expect(await describeOutside()).toEqual(was);
    }
  });

  it("nor by one that comes after the tool has written, before the rest is done", async () => {
    const was = await describeOutside();
    for (const request of [{ delete: true }, { include: [join(data, "inner/deep")] }, {}]) {
      execFileSync("rm", ["-rf", join(data, "inner")]);
      execFileSync("mkdir", [join(data, "inner")]);
      await chown(join(data, "inner"), OWNER, OWNER);
      await around({ after: swap() });
      await ordered(request);
      expect(await describeOutside()).toEqual(was);
    }
  });

  it("is not led away above a target, nor by a link that the owner had there before", async () => {
    const was = await describeOutside();
    const target = join(data, "new/dir");
    await around({ before: `mv ${data}/new ${data}/was-$$; ln -s ${outside} ${data}/new` });
    await ordered({ target, include: [join(data, "other")] });
    expect(await describeOutside()).toEqual(was);
    const again = await ordered({ target, include: [join(data, "other")] });
    expect(again).toMatchObject({ state: "failed", failure: { code: "restore.incomplete" } });
    expect(again.failure?.message).toContain("is a symbolic link that others than root can change");
    expect(await describeOutside()).toEqual(was);
    // Root's own link above it is followed.
    await rm(join(data, "new"));
    useEngine(engine);
    await mkdir(join(host.root, "there"));
    await symlink(join(host.root, "there"), join(host.root, "link"));
    expect(await ordered({ target: join(host.root, "link/x") })).toMatchObject({ state: "succeeded" });
    expect(await textOf(join(host.root, "there/x", data, "other"))).toBe("other");
  });

  it("restores all of it where nobody interferes, as it was", async () => {
    const described = () => execFileSync("find", [data, "-printf", "%P %m %U:%G %T@ %y\n"], { encoding: "utf8" });
    // An existing directory gets its time to the microsecond.
    const sorted = () =>
      described()
        .replace(/\d{4} ([fd])$/gm, " $1")
        .split("\n")
        .toSorted();
    const before = sorted();
    const lists = () => execFileSync("getfacl", ["-p", data, join(data, "inner")], { encoding: "utf8" });
    const listed = lists();
    execFileSync("setfacl", ["-b", join(data, "inner")]);
    const inode = (await stat(join(data, "inner"))).ino;
    await rm(join(data, "other"));
    await writeFile(join(data, "inner/one"), "spoiled");
    await chmod(join(data, "inner"), 0o700);
    await rm(join(data, "inner/deep"), { recursive: true });
    await writeFile(join(data, "inner/more"), "not in the snapshot");
    expect(await ordered({ verify: true, delete: true })).toMatchObject({
      state: "succeeded",
      stats: { filesMatching: 4, filesDiffering: 0, filesDeleted: 1 },
    });
    expect(sorted()).toEqual(before);
    expect(lists()).toBe(listed);
    expect((await stat(join(data, "inner"))).ino).toBe(inode);
    expect((await readdir(host.paths.state)).includes("restores")).toBe(true);
    expect(await readdir(join(host.paths.state, "restores"))).toEqual([]);
  });

  it("is not led away by an owner who swaps a directory and a link all the time", { timeout: 600_000 }, async () => {
    const was = await describeOutside();
    racer = race(data, outside);
    await once(racer, "spawn");
    for (let round = 0; round < RACES; round++) {
      const requests = [{}, { delete: true }, { include: [join(data, "inner/deep"), join(data, "inner/one")] }];
      await ordered(requests[round % requests.length] ?? {});
      expect(await describeOutside()).toEqual(was);
    }
    expect(racer.exitCode).toBe(null);
  });
});

/** Swaps `inner` and a link to the place outside, as fast as it can, as the owner. */
function race(data: string, outside: string): ChildProcess {
  const script = `
    const { renameSync, symlinkSync, mkdirSync, rmSync } = require("node:fs");
    const [data, outside] = process.argv.slice(1);
    const [inner, link, away] = ["inner", "link", "away"].map((name) => data + "/" + name);
    const quietly = (work) => { try { work(); } catch {} };
    for (;;) {
      quietly(() => symlinkSync(outside, link));
      quietly(() => renameSync(inner, away));
      quietly(() => renameSync(link, inner));
      quietly(() => renameSync(inner, link));
      quietly(() => renameSync(away, inner));
    }`;
  return spawn(process.execPath, ["-e", script, data, outside], { uid: OWNER, gid: OWNER, stdio: "ignore", cwd: "/" });
}
