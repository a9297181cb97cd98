import { chmod, chown, mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readDeclared, readOwnContracts, summarizeDeclared } from "../../agent/declared/contract-files.ts";
import { digestOf, readContractState, updateContractState } from "../../agent/declared/contract-state.ts";
import { startDeclarationSync } from "../../agent/declared/declaration-sync.ts";
import { ApiError } from "../../agent/link/api.ts";
import type { Paths } from "../../agent/config.ts";
import type { Declarations } from "../../shared/declaration.ts";
import { until } from "../support/until.ts";
import { holdTime } from "./held-time.ts";
import { scratchRoot } from "./scratch.ts";

// contracts.d as a directory: who may write there, what is broken, links as NixOS makes them, and what the control
// plane is told.

const request = (source: string) => ({ user: "", sourceDirectories: [source], excludePatterns: [] });
const passphrase = "/run/passphrase";

async function contractsDir(): Promise<Paths> {
  const { paths } = await scratchRoot();
  await mkdir(paths.contractsDir, { recursive: true, mode: 0o755 });
  await chmod(paths.contractsDir, 0o755);
  return paths;
}

async function put(paths: Paths, file: string, value: unknown): Promise<string> {
  const path = join(paths.contractsDir, file);
  await writeFile(path, typeof value === "string" ? value : JSON.stringify(value), { mode: 0o644 });
  return path;
}

/** The real publisher and watch, with a control plane that only listens. */
async function declaring(paths: Paths, name = "nas") {
  const time = holdTime();
  const published: Declarations[] = [];
  const lines: string[] = [];
  const order: string[] = [];
  const control = { answer: (): Error | null => null, changes: 0 };
  const running = startDeclarationSync({
    paths,
    timers: time.timers,
    config: { name },
    log: (line) => lines.push(line),
    deliver: async () => void order.push("reports"),
    onChange: () => void control.changes++,
    api: {
      putDeclarations: async (declarations) => {
        const trouble = control.answer();
        if (trouble !== null) throw trouble;
        published.push(declarations);
        order.push("declarations");
        return { contracts: [], faults: [], refused: [] };
      },
    },
  });
  await until("the first look", () => control.changes === 1);
  return { ...running, published, lines, order, control, time };
}

const faultsOf = async (paths: Paths) =>
  Object.fromEntries((await readDeclared(paths)).faults.map(({ file, message }) => [file, message]));
const namesOf = async (paths: Paths) => (await readDeclared(paths)).contracts.map(({ name }) => name);

test("only what ends in .json and is not hidden is a contract; no directory is no contracts", async () => {
  const paths = await contractsDir();
  for (const file of ["a.json", ".b.json", "c.json.tmp", "README"]) await put(paths, file, request("/srv"));
  expect(await namesOf(paths)).toEqual(["a"]);
  await rm(paths.contractsDir, { recursive: true });
  expect(await readDeclared(paths)).toEqual({ contracts: [], kept: [], faults: [], texts: {} });
});

test("a file that others may write is ignored, and so is one of another owner", async () => {
  const paths = await contractsDir();
  for (const file of ["fine.json", "group.json", "world.json", "theirs.json"]) await put(paths, file, request("/srv"));
  await chmod(join(paths.contractsDir, "group.json"), 0o664);
  await chmod(join(paths.contractsDir, "world.json"), 0o646);
  if (process.getuid?.() === 0) await chown(join(paths.contractsDir, "theirs.json"), 65534, 65534);
  else await rm(join(paths.contractsDir, "theirs.json"));
  expect(await namesOf(paths)).toEqual(["fine"]);
  const faults = await faultsOf(paths);
  expect(faults["group.json"]).toContain("must be writable by its owner alone: chmod go-w");
  expect(faults["world.json"]).toContain("chmod go-w");
  if (process.getuid?.() === 0) expect(faults["theirs.json"]).toContain("must belong to root");
  await chmod(paths.contractsDir, 0o777);
  expect(await readDeclared(paths)).toMatchObject({ contracts: [], faults: [{ file: "contracts.d" }] });
});

test("symbolic links are followed into a store like that of NixOS, but not to where others may write", async () => {
  const paths = await contractsDir();
  const store = join(paths.etc, "store");
  const open = join(paths.etc, "open");
  for (const directory of [store, open]) await mkdir(directory);
  for (const directory of [store, open])
    await writeFile(join(directory, "x"), JSON.stringify(request("/srv")), { mode: 0o644 });
  await chmod(store, 0o1775);
  await chmod(open, 0o777);
  await symlink(join(store, "x"), join(paths.contractsDir, "good.json"));
  await symlink(join(open, "x"), join(paths.contractsDir, "bad.json"));
  await symlink("/nowhere", join(paths.contractsDir, "gone.json"));
  expect(await namesOf(paths)).toEqual(["good"]);
  const faults = await faultsOf(paths);
  expect(faults["bad.json"]).toContain(`${open} must be writable by its owner alone`);
  expect(faults["gone.json"]).toContain("a symbolic link whose target is gone");
});

test("two files of one name are a fault that names both, and neither is applied", async () => {
  const paths = await contractsDir();
  await put(paths, "Photos.json", request("/srv/one"));
  await put(paths, "other.json", { name: "photos", request: request("/srv/two") });
  await put(paths, "mail.json", request("/srv/mail"));
  expect(await namesOf(paths)).toEqual(["mail"]);
  const faults = await faultsOf(paths);
  expect(faults["Photos.json"]).toContain('Photos.json and other.json both declare a contract "photos"');
  expect(faults["other.json"]).toContain('other.json and Photos.json both declare a contract "photos"');
});

test("two files may share a repository, but must agree on its settings", async () => {
  const paths = await contractsDir();
  const settings = { passphrase, repository: { path: "/srv/backup" } };
  await put(paths, "a.json", { request: request("/a"), settings });
  await put(paths, "b.json", { request: request("/b"), settings: { ...settings, retention: {} } });
  expect(await namesOf(paths)).toEqual(["a", "b"]);
  await put(paths, "b.json", { request: request("/b"), settings: { ...settings, passphrase: "/other" } });
  expect((await faultsOf(paths))["b.json"]).toContain("b.json and a.json say different things of one repository");
});

test("the last valid content of a broken file stays in force, also after a restart, until the file is removed", async () => {
  const paths = await contractsDir();
  await put(paths, "photos.json", request("/srv/photos"));
  const first = await declaring(paths);
  expect(await first.publish()).toBe(true);
  first.stop();
  await put(paths, "photos.json", '{"user": "ph');
  const second = await declaring(paths);
  expect(await second.publish()).toBe(true);
  expect(second.published).toEqual([
    {
      declarations: [
        expect.objectContaining({
          file: "photos.json",
          name: "photos",
          request: expect.objectContaining({ sourceDirectories: ["/srv/photos"] }),
        }),
      ],
      faults: [
        {
          file: "photos.json",
          field: null,
          message: expect.stringMatching(/is not JSON.*; what it declared before stays in force$/),
        },
      ],
    },
  ]);
  expect(second.lines).toContainEqual(expect.stringContaining("contracts.d: photos.json: is not JSON"));
  // A file that can be read goes before what a broken one said once.
  await put(paths, "new.json", { name: "photos", request: request("/new") });
  expect((await readDeclared(paths)).contracts).toMatchObject([{ file: "new.json" }]);
  await rm(join(paths.contractsDir, "new.json"));
  await rm(join(paths.contractsDir, "photos.json"));
  expect(await second.publish()).toBe(true);
  expect(second.published.at(-1)).toEqual({ declarations: [], faults: [] });
  second.stop();
});

test("what an older version took and this one refuses is a fault, is not published, and stays", async () => {
  const paths = await contractsDir();
  const text = JSON.stringify({ ...request("/srv/photos"), excludePatterns: ["!keep"] });
  await put(paths, "photos.json", text);
  await put(paths, "mail.json", request("/srv/mail"));
  await updateContractState(paths, { texts: { "photos.json": text } });
  const agent = await declaring(paths);
  await agent.publish();
  expect(agent.published).toMatchObject([
    {
      declarations: [{ name: "mail" }],
      kept: ["photos"],
      faults: [
        {
          file: "photos.json",
          field: "excludePatterns.0",
          message: expect.stringMatching(/must not begin with '!'.*; what an older version took of it stays in force$/),
        },
      ],
    },
  ]);
  // On this host it is still what root declared: the same contract, assigned, needs no permission.
  const owned = await readOwnContracts(paths);
  expect(owned.map(({ name }) => name)).toEqual(["mail", "photos"]);
  expect(await summarizeDeclared(paths)).toMatchObject({ declared: 1, faults: [{ file: "photos.json" }] });
  agent.stop();
});

test("a change is published once: at once with inotify, within 30 s without", async () => {
  const paths = await contractsDir();
  const agent = await declaring(paths);
  await agent.publish();
  expect(await agent.publish()).toBe(false);
  const settled = (wanted: number) =>
    until(`change ${wanted}`, async () => {
      await agent.time.advance(600);
      return agent.control.changes === wanted;
    });
  await put(paths, "photos.json", request("/srv/photos"));
  await settled(2);
  await agent.publish();
  expect(agent.published.map(({ declarations }) => declarations.length)).toEqual([0, 1]);

  // A switch of NixOS: the directory is a link, and it is put elsewhere, above anything that is watched.
  const [generation1, generation2] = [join(paths.state, "generation1"), join(paths.state, "generation2")];
  for (const generation of [generation1, generation2])
    await mkdir(join(generation, "contracts.d"), { recursive: true, mode: 0o755 });
  await writeFile(join(generation2, "contracts.d/mail.json"), JSON.stringify(request("/srv/mail")), { mode: 0o644 });
  await symlink(generation1, join(paths.state, "static"));
  await rm(paths.contractsDir, { recursive: true });
  await symlink(join(paths.state, "static/contracts.d"), paths.contractsDir);
  await settled(3);
  await agent.publish();
  await symlink(generation2, join(paths.state, "static.new"));
  await rename(join(paths.state, "static.new"), join(paths.state, "static"));
  await agent.time.advance(30_000);
  await until("the swap to be seen", () => agent.control.changes === 4);
  await agent.publish();
  expect(agent.published.at(-1)?.declarations).toMatchObject([{ name: "mail" }]);
  agent.stop();
  expect(agent.time.pending()).toEqual([]);
});

test("published again when the control plane was away; when rejected, logged and retried with the next pull", async () => {
  const paths = await contractsDir();
  await put(paths, "photos.json", request("/srv/photos"));
  const agent = await declaring(paths);
  agent.control.answer = () => new ApiError("offline", "nobody there");
  await expect(agent.publish()).rejects.toThrow("nobody there");
  agent.control.answer = () => new ApiError("rejected", "declarations.0: no");
  expect(await agent.publish()).toBe(false);
  expect(await agent.publish()).toBe(false);
  const rejected = expect.stringContaining("takes nothing of what is declared here (declarations.0: no)");
  expect(agent.lines).toEqual([rejected]);
  expect(await summarizeDeclared(paths)).toEqual({
    declared: 0,
    faults: [{ file: "contracts.d", field: null, message: rejected }],
  });
  // Less than everything is taken: so the fault is seen there too, and nothing of what it had is removed.
  let asked = 0;
  agent.control.answer = () => (asked++ === 0 ? new ApiError("rejected", "declarations.0: no") : null);
  expect(await agent.publish()).toBe(false);
  const told = {
    declarations: [],
    kept: ["photos"],
    faults: [{ file: "contracts.d", field: null, message: rejected }],
  };
  expect(agent.published.splice(0)).toEqual([told]);
  agent.control.answer = () => null;
  expect(await agent.publish()).toBe(true);
  expect(await summarizeDeclared(paths)).toEqual({ declared: 1, faults: [] });
  expect(await agent.publish()).toBe(false);
  // Connected anew: who is there may have lost it.
  agent.reset();
  expect(await agent.publish()).toBe(true);
  expect(agent.published[1]).toEqual(agent.published[0]);
  agent.stop();
});

test("runs are reported before their declaration is removed, and the file wins until its declaration was pulled back", async () => {
  const paths = await contractsDir();
  await put(paths, "photos.json", request("/srv/photos"));
  const agent = await declaring(paths);
  await agent.publish();
  expect(agent.order).toEqual(["reports", "declarations"]);
  const settled = async () => {
    const [{ settled: before }, { texts }] = await Promise.all([readContractState(paths), readDeclared(paths)]);
    return before === digestOf(texts);
  };
  expect(await settled()).toBe(false);
  await agent.publish();
  expect(await settled()).toBe(true);
  await put(paths, "photos.json", request("/srv/other"));
  expect(await settled()).toBe(false);
  agent.stop();
});

test("a repository without a name is named after its host and location, and no two are named alike", async () => {
  const paths = await contractsDir();
  const places = [
    "/srv/backup/photos",
    "/srv/backup-photos",
    "/srv/Backup/photos",
    "sftp:u@nas:/photos",
    `/srv/${"long/".repeat(20)}x`,
  ];
  for (const [index, path] of places.entries())
    await put(paths, `${index}.json`, { request: request("/srv"), settings: { passphrase, repository: { path } } });
  const agent = await declaring(paths);
  await agent.publish();
  const names = agent.published[0]?.declarations.map(({ bound }) => bound?.repository.name) ?? [];
  expect(names[0]).toBe("nas-srv-backup-photos");
  expect(new Set(names).size).toBe(places.length);
  for (const name of names) expect(name).toMatch(/^[a-z0-9][a-z0-9._-]{0,62}$/);
  expect(agent.published[0]?.declarations[0]?.request.user).toBe(userInfo().username);
  agent.stop();
});
