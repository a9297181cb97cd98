import { execFileSync } from "node:child_process";
import { readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { execEngine } from "../../agent/runs.ts";
import { randomizedDelayMs } from "../../shared/schedule.ts";
import { type FoundEngine, IS_WHOLE, oldestAndNewest, oneOfEach } from "../support/engines.ts";
import { startRestServer, type Storage } from "../support/storage.ts";
import { type EngineHost, openEngineHost, useEngine, type Wanted } from "./engine-host.ts";

// What a run asks the engine, counted: a program in front of it writes down each command.

let host: EngineHost;
let now: number;
afterEach(() => host.close());

const DAY_MS = 86_400_000;

async function openCountingHost(engine: FoundEngine): Promise<void> {
  host = await openEngineHost(engine);
  // Early in one of the binding's own days.
  now = (Math.floor(Date.now() / DAY_MS) + 1) * DAY_MS + randomizedDelayMs(host.work().binding.id, DAY_MS) + 1000;
  Object.assign(host.deps, { clock: { now: () => now } });
  await count(engine, "counting");
  await host.policy({ level: "guarded", repositories: [host.root], keep: { snapshots: 1, days: 0 } });
  await host.write("data/file", "one");
}

async function count(engine: FoundEngine, name: string): Promise<void> {
  const path = join(host.root, name);
  const script = `#!/bin/sh\necho "$@" >> ${join(host.root, "calls")}\nexec ${engine.path} "$@"\n`;
  await writeFile(path, script, { mode: 0o755 });
  useEngine({ ...engine, path });
}

const COMMANDS = /\b(version|init|cat|snapshots|backup|forget|list|create|delete)\b/;

/** The engine's commands since the last call, by name. */
async function calls(): Promise<string[]> {
  const file = join(host.root, "calls");
  const text = await readFile(file, "utf8").catch(() => "");
  await rm(file, { force: true });
  return text
    .trimEnd()
    .split("\n")
    .map((line) => COMMANDS.exec(line)?.[1] ?? line)
    .filter((command) => command !== "version");
}

/** A backup an hour later. @returns the engine's commands */
async function later(work: Wanted, hours = 1): Promise<string[]> {
  now += hours * 3_600_000;
  await host.write("data/file", `at ${now}`);
  await calls();
  expect(await host.backup(host.work(work))).toMatchObject({ state: "succeeded", failure: null, warnings: [] });
  return await calls();
}

describe.each(oneOfEach())("a scheduled backup with $provider $version", (engine) => {
  const isRestic = engine.provider === "restic";
  const [STORE, LIST, REMOVE] = isRestic ? ["backup", "snapshots", "forget"] : ["create", "list", "delete"];
  const LOOKED = isRestic ? ["cat", STORE, LIST] : ["list", STORE, LIST];
  const keep = { settings: { retention: { keep_last: 2 } } };

  beforeEach(() => openCountingHost(engine));

  it("starts the engine once; the first one of a day that has some to remove, three times", async () => {
    await host.backup(host.work(keep));
    expect(await later(keep)).toEqual([STORE]);
    expect(await later(keep)).toEqual([STORE, LIST, REMOVE]);
    for (let hour = 0; hour < 3; hour++) expect(await later(keep)).toEqual([STORE]);
    const { run, snapshots } = await host.report({ kind: "backup" });
    expect(snapshots).toHaveLength(5);
    expect(snapshots?.at(-1)).toMatchObject({ id: run.snapshot, paths: [join(host.root, "data")] });
    expect(await later(keep, 24)).toEqual([...LOOKED, LIST, REMOVE]);
    expect((await host.report({ kind: "forget" })).run.stats).toMatchObject({ snapshotsRemoved: 4, snapshotsKept: 2 });
    expect(host.byHand(host.work(), ...(isRestic ? ["snapshots", "--json"] : ["list", "--json"]))).toContain(
      (await host.report({ kind: "backup" })).run.snapshot,
    );
  });

  it.runIf(isRestic || IS_WHOLE)("looks at the repository again after whatever may have changed it", async () => {
    const repository = join(host.root, "srv/repository");
    const state = join(host.root, "var/lib/holdfast/bindings");
    await host.backup(host.work());
    const doubts: Record<string, () => Promise<unknown>> = {
      "somebody worked on it by hand": () =>
        execEngine(host.deps, { ...host.work(), args: isRestic ? ["list", "locks"] : ["info"] }),
      "its files are others": () => rename(repository, `${repository}.old`).then(() => copyOf(repository)),
      "the tool is another one": () => count(engine, "other"),
      "what was known is damaged": async () => {
        const { engineId } = await host.report({ kind: "backup" });
        await truncate(join(state, `${host.work().binding.id}.listed-${engineId?.slice(0, 16)}.json`), 20);
      },
      "the clock was set back": () => Promise.resolve((now -= 4 * 3_600_000 + 1)),
    };
    for (const [doubt, begin] of Object.entries(doubts)) {
      expect(await later({}), `before ${doubt}`).toEqual([STORE]);
      await begin();
      expect(await later({}), doubt).toEqual(LOOKED);
    }
    // And a run that failed: it looks itself, and so does the next one.
    await count(engine, "counting");
    await later({});
    await later({});
    await instead(engine, `echo nothing >&2; exit 2`);
    now += 3_600_000;
    const failed = await host.backup(host.work());
    expect(failed).toMatchObject({ state: "failed" });
    expect((await host.report(failed)).snapshots).toHaveLength(13);
    await count(engine, "counting");
    expect(await later({})).toEqual(LOOKED);
  });

  it("is not taken in by a tool that only says it has stored something", async () => {
    await host.backup(host.work());
    await later({});
    const { engineId } = await host.report({ kind: "backup" });
    const id = "ab".repeat(32);
    const stats = { nfiles: 1, original_size: 1, deduplicated_size: 1 };
    const said = isRestic
      ? { message_type: "summary", snapshot_id: id, total_files_processed: 1 }
      : { repository: { id: engineId }, archive: { id, name: "NAME", stats } };
    await instead(engine, `name=\${*##*::}; echo '${JSON.stringify(said)}' | sed "s/NAME/\${name%% *}/"; exit 0`);
    now += 3_600_000;
    expect(await host.backup(host.work())).toMatchObject({
      state: "failed",
      snapshot: null,
      failure: { code: "snapshot.not_listed" },
    });
  });

  async function copyOf(repository: string): Promise<void> {
    execFileSync("cp", ["-a", `${repository}.old`, repository]);
    await rm(`${repository}.old`, { recursive: true });
  }

  /** The same program from now on does this when it should store. */
  async function instead(tool: FoundEngine, script: string): Promise<void> {
    const path = join(host.root, "counting");
    const text = `#!/bin/sh\ncase " $* " in *" ${STORE} "*) ${script};; esac\nexec ${tool.path} "$@"\n`;
    await writeFile(path, text, { mode: 0o755 });
    useEngine({ ...tool, path });
  }
});

describe("a repository on a server", () => {
  const [, restic] = oldestAndNewest("restic");
  let server: Storage;
  beforeEach(async () => {
    server = await startRestServer({ appendOnly: false });
    await openCountingHost(restic);
  });
  afterEach(() => server.stop());

  it("is known by what the tool itself has of it, and another in its place is noticed", async () => {
    const secret = async (name: string, text: string): Promise<{ file: string }> => {
      const file = await host.write(`etc/${name}`, text);
      return { file };
    };
    const work: Wanted = {
      location: `rest:https://127.0.0.1:${server.port}/photos`,
      passphrase: await secret("passphrase", "one of ours"),
      repository: { caFile: server.caFile },
      secrets: {
        RESTIC_REST_USERNAME: await secret("user", server.user),
        RESTIC_REST_PASSWORD: await secret("password", server.password),
      },
    };
    await host.policy({
      level: "guarded",
      repositories: [`rest:https://127.0.0.1:${server.port}/`],
      keep: { snapshots: 1, days: 0 },
      secrets: [join(host.root, "etc")],
    });
    await host.backup(host.work(work));
    expect(await later(work)).toEqual(["backup"]);
    expect(await later({ ...work, settings: { retention: { keep_last: 1 } } })).toEqual([
      "backup",
      "snapshots",
      "forget",
    ]);
    expect(await later(work)).toEqual(["backup"]);

    // Somebody makes a new one in the same place, with the same passphrase.
    await rename(join(server.data, "photos"), join(server.data, "away"));
    const env = {
      RESTIC_REPOSITORY: work.location ?? "",
      RESTIC_PASSWORD: "one of ours",
      RESTIC_REST_USERNAME: server.user,
      RESTIC_REST_PASSWORD: server.password,
    };

    execFileSync(restic.path, ["init", "--quiet", "--no-cache", "--cacert", server.caFile], { env });
    expect(await host.backup(host.work(work))).toMatchObject({
      state: "failed",
      snapshot: null,
      failure: { code: "repository.swapped" },
    });
  });
});
