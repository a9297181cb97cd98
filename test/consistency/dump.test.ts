import { type ChildProcess, spawn } from "node:child_process";
import { chmod, chown, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listProcesses, processRefOf } from "../../agent/system/process/process-ref.ts";
import { requireBash } from "../../agent/providers/dump-pipe.ts";
import { recoverInterrupted } from "../../agent/recover.ts";
import { type EngineHost, newId, openEngineHost, textOf, useEngine } from "../engine/engine-host.ts";
import { oldestAndNewest, oneOfEach } from "../support/engines.ts";
import { newestRestic } from "../support/restic.ts";
import { until } from "../support/until.ts";

const isRoot = process.getuid?.() === 0;

it("a host without bash gets an error before anything runs", async () => {
  await expect(requireBash("/nonexistent")).rejects.toMatchObject({ failure: { code: "dump.failed" } });
  await expect(requireBash("/nonexistent")).rejects.toThrow("bash is not installed");
});

/** Any name that a file can have: for shells, engines and their patterns each part of it has a meaning. */
const NAME = `-app of a day: '100%' "odd" {now} *?[a]! $(id) \\ é.sql`;

let host: EngineHost;
let runner: ChildProcess | undefined;
afterAll(() => runner?.kill("SIGKILL"));

const out = (name: string): string => join(host.root, name);
/** What the engine itself lists. */
function snapshots(): string[] {
  const work = host.work();
  const [repository] = work.assignment.repositories;
  return repository?.provider === "borg"
    ? host.byHand(work, "list", "--short").trim().split("\n")
    : (host.restic(work, "snapshots", "--compact", "--json").match(/"short_id"/g) ?? []);
}

describe.each(oneOfEach())("a database with $provider $version", (engine) => {
  beforeAll(async () => {
    host = await openEngineHost(engine);
    await host.policy({ hooks: "inline" });
  });
  afterAll(() => host.close());

  it("is restored byte for byte, by the contract's own commands, and to a directory as a file", async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_none, index) => (index * 7) % 256));
    await writeFile(out("database"), bytes);
    const work = host.work({
      database: {
        backupName: NAME,
        backupCmd: `echo "reading 'it' \\$HOME" >&2; cat ${out("database")}`,
        restoreCmd: `echo "PATH is $PATH"; cat >${out("loaded")}; env >${out("environment")}; ls -l /proc/self/fd >${out("open")}`,
      },
    });
    const stored = await host.backup(work);
    expect(stored).toMatchObject({ state: "succeeded", failure: null });
    const { run, snapshots: listed, log } = await host.report({ runId: stored.runId });
    expect(run.stats?.filesTotal).toBe(1);
    expect(run.stats?.bytesTotal).toBeGreaterThanOrEqual(bytes.length);
    expect(listed).toMatchObject([{ id: stored.snapshot, paths: [`/${NAME}`] }]);
    expect(log).toContain("reading 'it' $HOME");

    const loaded = await host.restore(work, {});
    expect(loaded).toMatchObject({ state: "succeeded", failure: null, snapshot: stored.snapshot });
    expect((await readFile(out("loaded"))).equals(bytes)).toBe(true);
    expect((await host.report({ kind: "restore" })).log).toContain("PATH is /usr/local/sbin");
    // The repository's secrets are the engine's alone.
    expect(await textOf(out("environment"))).not.toMatch(/RESTIC/);
    expect(await textOf(out("open"))).not.toContain("deleted");

    expect(await host.restore(work, { target: out("elsewhere") })).toMatchObject({
      state: "succeeded",
      failure: null,
    });
    expect((await readFile(out(`elsewhere/${NAME}`))).equals(bytes)).toBe(true);
    expect(await host.restore(work, { include: [`/${NAME}`] })).toMatchObject({
      failure: { code: "restore.nothing_matched" },
    });
  });

  it("whose dump fails, or is empty, stores nothing, says why, and leaves no process and no lock", async () => {
    const backupCmd = "{ head -c 200000 /dev/zero; echo 'disk on fire' >&2; exit 3; } | cat";
    const outcome = await host.backup(host.work({ database: { backupCmd } }));
    expect(outcome).toMatchObject({ state: "failed", snapshot: null, failure: { code: "dump.failed" } });
    expect(outcome.failure?.message).toContain("exited with 3: disk on fire");
    const empty = await host.backup(host.work({ database: { backupCmd: "true" } }));
    expect(empty).toMatchObject({ state: "failed", snapshot: null, failure: { code: "source.empty" } });
    expect(snapshots()).toHaveLength(1);
    const names = await readdir(out("srv/repository"));
    expect(names.includes("locks") ? await readdir(out("srv/repository/locks")) : names).not.toContain(
      "lock.exclusive",
    );
    expect(await processesWith(host.root)).toEqual([]);
  });

  it("cancelled in the middle stores nothing, and neither does one whose agent was killed", async () => {
    const before = snapshots();
    const backupCmd = `head -c 200000 /dev/zero; echo begun >${out("begun")}; sleep 300`;
    const work = host.work({ database: { backupCmd } });
    const stop = new AbortController();
    const running = host.backup(work, { signal: stop.signal });
    await until("the dump", async () => (await textOf(out("begun"))) !== "");
    stop.abort();
    expect(await running).toMatchObject({ state: "cancelled", snapshot: null });
    await writeFile(out("begun"), "");

    const runId = newId();
    await writeFile(out("work.json"), JSON.stringify(work));
    const program = join(import.meta.dirname, "../engine/mortal-runner.ts");
    runner = spawn(process.execPath, [program, host.root, runId], { stdio: ["ignore", "ignore", "inherit"] });
    await until("the dump", async () => (await textOf(out("begun"))) !== "");
    const gone = new Promise((resolve) => runner?.once("exit", resolve));
    runner.kill("SIGKILL");
    await gone;
    await recoverInterrupted(host.deps, work.assignment);
    const { run, snapshots: listed } = await host.report({ runId });
    expect(run).toMatchObject({ state: "interrupted", snapshot: null });
    expect(listed).toHaveLength(before.length);
    expect(snapshots()).toEqual(before);
    expect(await processesWith(runId)).toEqual([]);
  });

  it("never completes half a dump: it is stopped when the engine can't read on", async () => {
    const backupCmd = `head -c 6000000 /dev/urandom`;
    const restoreCmd = `trap 'echo asked >>${out("asked")}; exit 1' TERM; bytes=$(wc -c); echo "$bytes" >${out("committed")}`;
    const work = host.work({ database: { backupCmd, restoreCmd } });
    await host.backup(work);
    await damage(out("srv/repository/data"));
    const outcome = await host.restore(work, {});
    expect(outcome.state).toBe("failed");
    expect(outcome.failure?.message).not.toContain("the command");
    expect(await textOf(out("committed"))).toBe("");
    expect((await host.report({ kind: "restore" })).log).not.toContain("holdfast-dump-read");
  });
});

describe("a database, whatever the engine's version", () => {
  beforeAll(async () => {
    host = await openEngineHost(newestRestic());
    await host.policy({ hooks: "inline" });
  });
  afterAll(() => host.close());

  it("that reports errors while loading, or stops reading, is a failed restore", async () => {
    const backupCmd = "head -c 400000 /dev/zero";
    await host.backup(host.work({ database: { backupCmd } }));
    const complaining = await host.restore(
      host.work({ database: { backupCmd, restoreCmd: "cat >/dev/null; echo 'relation is gone' >&2; exit 3" } }),
      {},
    );
    expect(complaining).toMatchObject({ state: "failed", failure: { code: "database.failed" } });
    expect(complaining.failure?.message).toContain("exited with 3: relation is gone");
    const early = await host.restore(host.work({ database: { backupCmd, restoreCmd: "head -c 1 >/dev/null" } }), {});
    expect(early).toMatchObject({ state: "failed", failure: { code: "database.failed" } });
    expect(early.failure?.message).toContain("before it had read the whole dump");
  });

  it("is not touched by a restoreCmd that can't run, and the backup before it warns", async () => {
    await host.write("theirs/tool", "#!/bin/sh\n");
    await chmod(out("theirs/tool"), 0o700);
    const first = `touch ${out("touched")}; `;
    const failing: [string, string, string][] = [
      ["root", "gunzip | no-such-psql", 'can\'t find or run the program "no-such-psql"'],
      ["root", "gunzip | sudo -u no-such-user psql", 'user "no-such-user", whom this host does not have'],
      ["root", "gunzip | sudo -u nobody no-such-psql", "no-such-psql: command not found"],
      ["nobody", "gunzip | sudo -n -u root psql", 'user nobody may not run "sudo -u root psql": sudo: '],
      ["nobody", "gunzip | runuser -u root -- psql", "only root may"],
      ["nobody", `cat | ${out("theirs/tool")}`, "theirs/tool"],
      ["nobody", "cat | sudo -u nobody id", "may not run"],
    ];
    for (const [restoreUser, restoreCmd, words] of failing) {
      const work = host.work({ restoreUser, database: { backupCmd: "echo x | gzip", restoreCmd: first + restoreCmd } });
      const refused = await host.restore(work, {});
      expect(refused, restoreCmd).toMatchObject({ state: "failed", failure: { code: "database.failed" } });
      expect(refused.failure?.message).toContain(`restoreCmd can't run here: `);
      expect(refused.failure?.message).toContain(words);
      expect(refused.failure?.next).toMatch(/^(Install "|Name a user |restoreUser says who )/);
    }
    expect(await textOf(out("touched"))).toBe("");
    await expect(stat(out("touched"))).rejects.toThrow("ENOENT");
    const renamed = host.work({ database: { backupName: "other.sql", restoreCmd: first } });
    const missing = await host.restore(renamed, {});
    expect(missing.failure).toMatchObject({
      code: "restore.nothing_matched",
      message: expect.stringContaining("it has dump"),
    });
    await expect(stat(out("touched"))).rejects.toThrow("ENOENT");

    const settings = { retention: { keep_last: 1 } };
    const unrestorable = { backupCmd: "echo x", restoreCmd: "no-such-psql" };
    const warned = await host.backup(host.work({ settings, database: unrestorable }));
    expect(warned).toMatchObject({ state: "warned", snapshot: expect.any(String), failure: null });
    const { run } = await host.report({ runId: warned.runId });
    expect(run.warnings).toEqual([expect.stringMatching(/^a restore of it would fail: .*"no-such-psql".* Install /s)]);
    // Nothing is missing from the snapshot: the retention goes on.
    expect((await host.report({ runId: warned.runId })).log).not.toContain("old snapshots are not removed");
  });

  it("whose command prints errors and succeeds, as psql does, is restored with a warning", async () => {
    const backupCmd = "echo x";
    const saying = (...lines: string[]) => {
      const text = lines.map((line) => `echo '${line}' >&2`).join("; ");
      return host.restore(host.work({ database: { backupCmd, restoreCmd: `cat >/dev/null; ${text}` } }), {});
    };
    const usual = ["ERROR:  current user cannot be dropped", 'ERROR:  role "postgres" already exists'];
    expect(await saying(...usual, "NOTICE:  ERROR: is a word")).toMatchObject({ state: "succeeded", failure: null });
    const lost = 'psql:<stdin>:7: ERROR:  relation "letters" does not exist';
    const warned = await saying(...usual, lost, "ERROR 1146 (42S02) at line 9: no table");
    expect(warned).toMatchObject({ state: "warned", failure: null });
    const { run } = await host.report({ runId: warned.runId });
    expect(run.warnings).toEqual([expect.stringContaining(`${lost} (and 1 more;`)]);
  });

  it("that is killed, or continues after an error, stores nothing", async () => {
    const failing: [string, string][] = [
      ["head -c 200000 /dev/zero; echo $undefined_thing", "undefined_thing: unbound variable"],
      ["head -c 200000 /dev/zero; kill -KILL $$", "exited with 137"],
    ];
    const before = snapshots();
    for (const [backupCmd, words] of failing) {
      const outcome = await host.backup(host.work({ database: { backupCmd } }));
      expect(outcome).toMatchObject({ state: "failed", snapshot: null, failure: { code: "dump.failed" } });
      expect(outcome.failure?.message).toContain(words);
    }
    expect(snapshots()).toEqual(before);
  });

  it("that became a snapshot although it was incomplete is removed again", async () => {
    const [oldest] = oldestAndNewest("restic");
    const cutting = out("cutting-restic");
    const cut = `trap '' INT; ${oldest.path} "$@" < <(head -c 1000); exit $?`;
    await writeFile(cutting, `#!/bin/bash\ncase " $* " in *" --stdin "*) ${cut} ;; esac\nexec ${oldest.path} "$@"\n`);
    await chmod(cutting, 0o755);
    const before = snapshots();
    useEngine({ provider: "restic", path: cutting });
    const outcome = await host.backup(host.work({ database: { backupCmd: "head -c 400000 /dev/zero" } }));
    useEngine(newestRestic());
    expect(outcome).toMatchObject({ state: "failed", snapshot: null, failure: { code: "dump.failed" } });
    expect((await host.report({ runId: outcome.runId })).snapshots).toHaveLength(before.length);
    expect(snapshots()).toEqual(before);
  });

  it("runs only what the host's owner allows: by name from hooks.d, or nothing", async () => {
    const database = { backupCmd: "make-dump", restoreCmd: "take-dump" };
    await host.policy({ hooks: "named" });
    await host.hook("make-dump", "echo from the hook");
    await host.hook("take-dump", `cat >${out("taken")}`);
    expect(await host.backup(host.work({ database }))).toMatchObject({ state: "succeeded" });
    expect(await host.restore(host.work({ database }), {})).toMatchObject({ state: "succeeded" });
    expect(await textOf(out("taken"))).toBe("from the hook\n");

    const inline = host.work({ database: { ...database, backupCmd: "echo x", restoreCmd: `touch ${out("no")}` } });
    expect(await host.backup(inline)).toMatchObject({ failure: { code: "policy.refused" } });
    expect(await host.restore(inline, {})).toMatchObject({ failure: { code: "policy.refused" } });
    await host.policy({ hooks: "named", users: ["nobody"] });
    expect(await host.restore(host.work({ database }), {})).toMatchObject({ failure: { code: "policy.refused" } });
    expect((await host.refusals()).map(({ code }) => code)).toEqual(["policy.hooks", "policy.hooks", "policy.users"]);
    expect(await textOf(out("no"))).toBe("");
  });

  it.runIf(isRoot)("is dumped and loaded as its own user, whoever reads the repository", async () => {
    await host.close();
    host = await openEngineHost(newestRestic());
    await host.policy({ hooks: "inline" });
    const work = host.work({
      user: "nobody",
      database: { backupCmd: "id -un", restoreCmd: `{ cat; id -un; id -Gn; } >${out("nobodys/said")}` },
    });
    await host.write("nobodys/x", "");
    await chown(out("nobodys"), 65_534, 65_534);
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    expect(await host.restore(work, {})).toMatchObject({ state: "succeeded" });
    expect(await textOf(out("nobodys/said"))).toBe("nobody\nnobody\nnogroup\n");
  });
});

/** Spoils the biggest file of the data, so that reading what is in it fails. */
async function damage(directory: string): Promise<void> {
  const files = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const sized = await Promise.all(
    files.map(async ({ parentPath, name }) => ({
      path: join(parentPath, name),
      size: (await stat(join(parentPath, name))).size,
    })),
  );
  const [biggest] = sized.toSorted((one, other) => other.size - one.size);
  if (biggest === undefined) throw new Error("the repository is empty");
  const bytes = await readFile(biggest.path);
  bytes.fill(0, bytes.length >> 1, (bytes.length >> 1) + 4096);
  await writeFile(biggest.path, bytes, { mode: 0o600 });
}

async function processesWith(text: string): Promise<number[]> {
  const found: number[] = [];
  for (const { pid } of listProcesses()) {
    if (pid === process.pid || processRefOf(pid) === null) continue;
    const said = `${await textOf(`/proc/${pid}/cmdline`)}${await textOf(`/proc/${pid}/environ`)}`;
    if (said.includes(text)) found.push(pid);
  }
  return found;
}
