import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { listProcesses } from "../../agent/system/process/process-ref.ts";
import { recoverInterrupted } from "../../agent/recover.ts";
import { everyRestic, newestRestic } from "../support/restic.ts";
import { until } from "../support/until.ts";
import { type EngineHost, newId, openEngineHost, textOf, type Work } from "./engine-host.ts";

let host: EngineHost;
afterEach(() => host.close());

const word = (name: string): string => `${name}-${randomBytes(12).toString("hex")}`;
const passphraseFile = ({ binding }: Work): string => join(host.paths.secretsDir, binding.repository);

/** Where a text stands among the files below a directory. */
async function filesWith(directory: string, text: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const found: string[] = [];
  for (const entry of entries.filter((file) => file.isFile())) {
    const path = join(entry.parentPath, entry.name);
    if ((await readFile(path).catch(() => Buffer.of())).includes(text)) found.push(path);
  }
  return found;
}

describe("while restic stores, its secrets", () => {
  const key = word("key");
  let runId: string;
  let work: Work;
  let running: Promise<unknown>;
  let restic: number;
  let passphrase: string;

  beforeEach(async () => {
    host = await openEngineHost(newestRestic());
    await mkdir(join(host.root, "data"));
    await writeFile(join(host.root, "data/big"), randomBytes(3_000_000));
    await host.hook("environment", `env >${join(host.root, "hook-environment")}`);
    // What the agent was started with is none of its children's business.
    vi.stubEnv("AWS_SESSION_TOKEN", word("inherited"));
    vi.stubEnv("RESTIC_PASSWORD_COMMAND", "echo inherited");
    vi.stubEnv("HOLDFAST_ODD", "inherited");
    runId = newId();
    work = host.work({
      secrets: { AWS_SECRET_ACCESS_KEY: { file: await host.write("key", `${key}\n`) } },
      settings: { limitUploadKiBs: 600 },
      before: ["environment"],
    });
    running = host.backup(work, { runId });
    restic = await until("restic in the middle of its backup", async () => {
      if (host.progress.length === 0) return undefined;
      for (const { pid } of listProcesses()) {
        const isOfRun = (await textOf(`/proc/${pid}/environ`)).includes(`HOLDFAST_RUN=${runId}`);
        if (isOfRun && (await textOf(`/proc/${pid}/cmdline`)).includes("\0backup\0")) return pid;
      }
      return undefined;
    });
    passphrase = (await readFile(passphraseFile(work), "utf8")).trim();
  });

  it("are in no command line, and in no file but their own", async () => {
    const lines = await Promise.all(listProcesses().map(({ pid }) => textOf(`/proc/${pid}/cmdline`)));
    expect(lines.some((line) => line.includes(work.binding.id))).toBe(true);
    for (const hidden of [passphrase, key]) expect(lines.filter((line) => line.includes(hidden))).toEqual([]);
    const whereTheyMayBe = [[passphraseFile(work)], [join(host.root, "key")]];
    const places = async (): Promise<string[][]> =>
      await Promise.all([passphrase, key].map((hidden) => filesWith(host.root, hidden)));
    expect(await places()).toEqual(whereTheyMayBe);
    expect(await filesWith("/dev/shm", passphrase)).toEqual([]);

    expect(await running).toMatchObject({ state: "succeeded" });
    expect(await places()).toEqual(whereTheyMayBe);
    expect(host.lines.join("\n")).not.toContain(passphrase);
  });

  it("are in its environment besides a short list, and nothing else; a hook gets none of them", async () => {
    const environment = await textOf(`/proc/${restic}/environ`);
    await running;
    const names = environment.split("\0").flatMap((line) => (line === "" ? [] : [line.replace(/=.*/s, "")]));
    // The shell on the way sets these for itself.
    const own = names.filter((name) => !["PWD", "OLDPWD", "SHLVL", "_"].includes(name));
    expect(own.toSorted()).toEqual([
      "AWS_SECRET_ACCESS_KEY",
      "HOLDFAST_RUN",
      "HOME",
      "LANG",
      "PATH",
      "RESTIC_CACHE_DIR",
      "RESTIC_PASSWORD_FILE",
      "RESTIC_PROGRESS_FPS",
      "RESTIC_REPOSITORY",
      "TMPDIR",
      "USER",
    ]);
    expect(environment).not.toContain("inherited");
    expect(environment).not.toContain(passphrase);

    const hook = await textOf(join(host.root, "hook-environment"));
    expect(hook).toContain(`HOLDFAST_RUN=${runId}`);
    for (const hidden of [passphrase, key, "inherited", "RESTIC_", "AWS_"]) expect(hook).not.toContain(hidden);
  });
});

describe("a passphrase to be generated", () => {
  beforeEach(async () => {
    host = await openEngineHost(newestRestic());
    await host.write("data/file", "one");
  });

  it("is created once, readable by its owner only", async () => {
    const work = host.work();
    await Promise.all([host.backup(work), host.backup(work)]);
    const made = await stat(passphraseFile(work));
    const text = await readFile(passphraseFile(work), "utf8");
    expect(text).toMatch(/^[A-Za-z0-9_-]{43}\n$/);
    expect(made.mode & 0o777).toBe(0o600);
    expect((await stat(host.paths.secretsDir)).mode & 0o777).toBe(0o700);
    const { repository } = work.binding;
    expect(await readdir(host.paths.secretsDir)).toEqual([repository, `${repository}.place`]);

    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    expect((await stat(passphraseFile(work))).ino).toBe(made.ino);
    expect(host.restic(work, "snapshots", "--json")).toContain(work.binding.id);
  });

  it.each([
    ["this host remembers", async (): Promise<Work> => host.work()],
    ["the control plane remembers", async (): Promise<Work> => host.work({ engineId: "ab".repeat(32) })],
    ["is said to exist", async (): Promise<Work> => host.work({ existing: true })],
  ])("is not created again for a repository that %s", async (name, workOf) => {
    const work = await workOf();
    if (name === "this host remembers") await host.backup(work);
    await rm(passphraseFile(work), { force: true });
    expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "secret.unreadable" } });
    await expect(stat(passphraseFile(work))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("does not replace an empty file", async () => {
    const work = host.work();
    await host.backup(work);
    await writeFile(passphraseFile(work), "\n");
    expect(await host.backup(work)).toMatchObject({ state: "failed", failure: { code: "secret.unreadable" } });
    expect(await readFile(passphraseFile(work), "utf8")).toBe("\n");
  });
});

describe("a secret's file", () => {
  beforeEach(async () => {
    host = await openEngineHost(newestRestic());
    await host.write("data/file", "one");
  });

  it.each([
    ["is not there", null],
    ["is empty", "\n"],
    ["holds more than one line", "first-line\nsecond-line\n"],
  ])("that %s fails the run, with the file's name and not its content", async (_what, text) => {
    const file = join(host.root, "key");
    if (text !== null) await writeFile(file, text);
    const { failure } = await host.backup(host.work({ secrets: { AWS_SECRET_ACCESS_KEY: { file } } }));
    expect(failure).toMatchObject({ code: "secret.unreadable", message: expect.stringContaining(file) });
    expect(await filesWith(host.paths.spoolDir, "-line")).toEqual([]);
  });
});

describe("a hook's output", () => {
  beforeEach(async () => {
    host = await openEngineHost(newestRestic());
    await host.write("data/file", "one");
    await host.hook("tell", `echo "the word is $(cat ${host.paths.secretsDir}/*)"; exit 7`);
  });

  it("never shows the passphrase, neither in the log nor in the run's report", async () => {
    const work = host.work({ after: ["tell"] });
    const outcome = await host.backup(work);
    expect(outcome).toMatchObject({ state: "warned", failure: { code: "hook.failed" } });
    expect((await host.report({ kind: "backup" })).log).toContain("the word is ***");
    const passphrase = (await readFile(passphraseFile(work), "utf8")).trim();
    expect(await filesWith(host.paths.spoolDir, passphrase)).toEqual([]);
    expect(JSON.stringify([outcome, host.lines])).not.toContain(passphrase);
  });

  it("never shows it either when another process runs the cleanup of a dead one", async () => {
    const work = host.work();
    const { runId } = await host.backup(work);
    const [entry] = await host.spool.list();
    if (entry?.report.type !== "run") throw new Error("the run is not in the spool");
    const run = { ...entry.report.run, state: "running" as const, finishedAt: null };
    const hook = { name: "tell", command: [join(host.paths.hooksDir, "tell")] };
    const { user } = work.assignment.contracts[0]?.request ?? { user: "" };
    await host.spool.write({
      report: { ...entry.report, run },
      owner: { pid: process.pid, startTicks: "of a process before" },
      after: { user, timeLimitMs: 30_000, binding: "files-nas", contract: "files", hooks: [hook], resume: [] },
    });
    await recoverInterrupted(host.deps, work.assignment);
    const report = await host.report({ runId });
    expect(report.run.state).toBe("interrupted");
    expect(report.log).toContain("the word is ***");
    const passphrase = (await readFile(passphraseFile(work), "utf8")).trim();
    expect(await filesWith(host.paths.spoolDir, passphrase)).toEqual([]);
  });
});

describe.each(everyRestic())("the password of a REST server, with restic $version,", (restic) => {
  it("is not shown by a run that can't reach the server", async () => {
    host = await openEngineHost(restic);
    await host.write("data/file", "one");
    const password = "pass/word:with@signs";
    const work = host.work({
      location: "rest:http://127.0.0.1:1/nas",
      secrets: {
        RESTIC_REST_USERNAME: { file: await host.write("name", "somebody") },
        RESTIC_REST_PASSWORD: { file: await host.write("password", password) },
      },
    });
    const outcome = await host.backup(work);
    expect(outcome.failure?.code).toBe("repository.unreachable");
    const shown = JSON.stringify([outcome, host.lines, await host.reports()]);
    expect(shown).toContain("127.0.0.1:1");
    for (const form of [password, encodeURIComponent(password), "pass/word", "with@signs"]) {
      expect(shown).not.toContain(form);
    }
  });
});
