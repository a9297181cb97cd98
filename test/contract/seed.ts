import { execFileSync } from "node:child_process";
import { chmod, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import type { ProviderName } from "../../shared/repository.ts";
import type { Bound, ContractHost } from "./contract-host.ts";

// The contract test of Self Host Blocks (modules/contracts/backup/test.nix), step by step, with nothing of ours in it
// but the names of the command and of the unit.

export interface Cell {
  readonly provider: ProviderName;
  readonly user: string;
  readonly place: "local" | "sftp" | "rest";
}

/** The numbers of a user of this machine. */
export function numbersOf(user: string): { uid: number; gid: number } {
  const [uid, gid] = ["-u", "-g"].map((option) => Number(execFileSync("id", [option, user], { encoding: "utf8" })));
  return { uid: uid ?? 0, gid: gid ?? 0 };
}

export function nameOf({ provider, user, place }: Cell): string {
  return `${provider}-${user}-${place}`;
}

export function sourcesOf(host: ContractHost, cell: Cell): string[] {
  return ["A", "B"].map((name) => join(host.root, "opt/files", nameOf(cell), name));
}

/** The cell as a binding: what a person declares, with the repository wherever it is. */
export function boundOf(host: ContractHost, cell: Cell, repository: Pick<Bound, "location" | "repository">): Bound {
  return {
    name: nameOf(cell),
    provider: cell.provider,
    ...repository,
    request: { user: cell.user, sourceDirectories: sourcesOf(host, cell) },
  };
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

  for (const source of sources) await host.directory(source.slice(host.root.length), numbersOf(cell.user));
  await write(1);
  for (const source of sources) {
    execFileSync("chown", ["-R", cell.user, source]);
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
  const before = await Promise.all(sources.map((source) => contentsOf(source)));
  const [oldest = ""] = (await host.script(name, "snapshots")).stdout.split("\n");
  for (const source of sources) {
    await writeFile(join(source, "fileA"), "changed meanwhile");
    await chmod(source, 0o777);
    await rm(source, { recursive: true });
  }
  await restore(host, name, oldest);
  expect(await Promise.all(sources.map((source) => contentsOf(source)))).toEqual(before);
  for (const source of sources) {
    const { uid, gid } = numbersOf(cell.user);
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
