import { execFileSync } from "node:child_process";
import { chown, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect } from "vitest";
import type { ProviderName } from "../../shared/repository.ts";
import { readContract } from "../../agent/declared/contract-file.ts";
import type { Bound, ContractHost } from "./contract-host.ts";
import { KEYS_GID, numbersOf } from "./seed-accounts.ts";

// The contract test of Self Host Blocks (modules/contracts/backup/test.nix), step by step, with nothing of ours in it
// but the names of the command and of the unit.

export interface Cell {
  readonly provider: ProviderName;
  readonly user: string;
  readonly place: "local" | "sftp" | "rest";
}

export function nameOf({ provider, user, place }: Cell): string {
  return `${provider}-${user}-${place}`;
}

export function sourcesOf(host: ContractHost, cell: Cell): string[] {
  return ["A", "B"].map((name) => join(host.root, "opt/files", nameOf(cell), name));
}

/** What an instance of the seed says beside users and places. */
export interface Instance {
  readonly hooks?: { readonly beforeBackup: string[]; readonly afterBackup: string[] };
  /** By variable, what its file holds. */
  readonly secrets?: Readonly<Record<string, string>>;
  readonly timerConfig?: object;
}

/**
 * The cell as a file of contracts.d with the seed's own values, and as the binding that the control plane makes of it.
 * Not as there: the paths are below the host's root, and the priority is that of everything else.
 */
export async function declare(
  host: ContractHost,
  cell: Cell,
  { location, repository = {}, ...instance }: Pick<Bound, "location" | "repository"> & Instance,
): Promise<Bound> {
  const name = nameOf(cell);
  const { hooks, secrets = {}, timerConfig = { OnCalendar: "00:00:00" } } = instance;
  const directory = await host.directory(`run/secrets/${name}`);
  const secret = async (file: string, text: string, { uid, gid, mode }: Owner): Promise<string> => {
    const path = join(directory, file);
    await writeFile(path, text, { mode });
    await chown(path, uid, gid);
    return path;
  };
  const passphrase = await secret("passphrase", "passphrase", { ...numbersOf(cell.user), mode: 0o400 });
  const sources = await Promise.all(
    Object.entries(secrets).map(async ([variable, text]) => {
      const source = await secret(variable, text, { uid: 0, gid: KEYS_GID, mode: 0o440 });
      return [variable, { source, transform: null }] as const;
    }),
  );
  const { secrets: credentials, ...place } = repository as { secrets?: object };
  const text = JSON.stringify({
    request: {
      user: cell.user,
      sourceDirectories: sourcesOf(host, cell),
      excludePatterns: [],
      ...(hooks && { hooks }),
    },
    settings: {
      provider: cell.provider,
      enable: true,
      passphrase: { result: { path: passphrase } },
      repository: {
        path: location,
        ...place,
        secrets: { ...credentials, ...Object.fromEntries(sources) },
        timerConfig,
      },
    },
  });
  const contracts = await host.directory("etc/holdfast/contracts.d");
  await writeFile(join(contracts, `${name}.json`), text, { mode: 0o644 });
  const read = readContract(`${name}.json`, text, "root");
  if (!read.ok) throw new Error(JSON.stringify(read.faults));
  const { body, bound } = read.contract;
  if (bound === null) throw new Error("the file has no settings");
  const { name: _none, provider, location: at, ...rest } = bound.repository;
  return {
    name,
    provider,
    location: at,
    kind: body.kind,
    request: body.request,
    isDeclared: true,
    repository: rest,
    // The seed's tests have repositories on the disk only: elsewhere a retention would only cost time.
    settings: {
      ...bound.settings,
      performance: { niceness: 0 },
      ...(cell.place === "local" ? {} : { retention: {} }),
    },
  };
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** @returns which version each restore gave back, as told by what the files hold in the end */
export async function replayContract(host: ContractHost, cell: Cell): Promise<{ second: number; first: number }> {
  const name = nameOf(cell);
  const sources = sourcesOf(host, cell);
  const write = async (version: number): Promise<void> => {
    for (const source of sources) {
      for (const file of ["fileA", "fileB"]) await writeFile(join(source, file), `repo_${file}_${version}`);
    }
  };
  const expectContents = async (version: number | null): Promise<void> => {
    const files = version === null ? {} : { fileA: `repo_fileA_${version}`, fileB: `repo_fileB_${version}` };
    for (const source of sources) expect(await contentsOf(source), source).toEqual(files);
  };
  const snapshots = async (): Promise<string[]> => {
    const listed = await host.script(name, "snapshots");
    expect(listed).toMatchObject({ code: 0, stderr: "" });
    return listed.stdout.trimEnd().split("\n");
  };

  const start = async (): Promise<void> => {
    const started = await host.start(name);
    expect(started.code, started.stderr).toBe(0);
  };

  const { uid, gid } = numbersOf(cell.user);
  for (const source of sources) await host.directory(source.slice(host.root.length), { uid, gid });
  await write(1);
  for (const source of sources) {
    execFileSync("chown", ["-R", `${uid}:${gid}`, source]);
    execFileSync("chmod", ["-R", "go-rwx", source]);
  }
  await expectContents(1);

  const none = await host.script(name, "snapshots");
  expect(none.code !== 0 || none.stdout === "").toBe(true);
  await start();
  expect(await snapshots()).toHaveLength(1);

  await write(2);
  await expectContents(2);
  await start();
  const lines = await snapshots();
  expect(lines).toHaveLength(2);
  const [first = "", second = ""] = lines.map((line) => line.split(/[ \t+]/, 1)[0]);

  for (const source of sources) for (const file of await readdir(source)) await rm(join(source, file));
  await expectContents(null);
  await restore(host, name, second);
  await expectContents(2);
  await restore(host, name, first);
  await expectContents(1);
  return { second: 2, first: 1 };
}

/** The block tests of the same project: the directories themselves are gone, and the only snapshot brings them back. */
export async function replayBlock(host: ContractHost, cell: Cell): Promise<"as it was"> {
  const name = nameOf(cell);
  const sources = sourcesOf(host, cell);
  const { uid, gid } = numbersOf(cell.user);
  const write = async (version: number): Promise<void> => {
    for (const source of sources) {
      for (const file of ["fileA", "fileB"])
        await writeFile(join(source, file), `repo${basename(source)}_${file}_${version}`);
    }
  };
  for (const source of sources) await host.directory(source.slice(host.root.length));
  await write(1);
  for (const source of sources) {
    execFileSync("chown", ["-R", `${uid}:${gid}`, source]);
    execFileSync("chmod", ["-R", "go-rwx", source]);
  }
  const started = await host.start(name);
  expect(started.code, started.stderr).toBe(0);
  await write(2);
  for (const source of sources) await rm(source, { recursive: true });
  // `restore $(script snapshots)`: there is one.
  await restore(host, name, (await host.script(name, "snapshots")).stdout.trim());
  for (const source of sources) {
    const of = (file: string): string => `repo${basename(source)}_${file}_1`;
    expect(await contentsOf(source)).toEqual({ fileA: of("fileA"), fileB: of("fileB") });
    // More than the seed asks for: whose they are.
    expect(execFileSync("stat", ["-c", "%u:%g %a", source], { encoding: "utf8" }).trim()).toBe(`${uid}:${gid} 700`);
    expect(execFileSync("stat", ["-c", "%u %a", join(source, "fileA")], { encoding: "utf8" }).trim()).toBe(
      `${uid} 600`,
    );
  }
  return "as it was";
}

async function restore(host: ContractHost, name: string, id: string): Promise<void> {
  const restored = await host.script(name, "restore", id);
  expect(restored.code, restored.stderr).toBe(0);
  expect(restored.stdout.split("\n")[0]).toBe(`Will restore snapshot '${id}'`);
}

/** Every regular file below a directory, with what it holds. */
async function contentsOf(directory: string): Promise<Record<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  const pairs = files.map(async (name) => [name, await readFile(join(directory, name), "utf8")] as const);
  return Object.fromEntries(await Promise.all(pairs));
}
