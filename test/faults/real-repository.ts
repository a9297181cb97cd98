import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import * as z from "zod";
import { listProcesses } from "../../agent/system/process/process-ref.ts";
import type { ProviderName } from "../../shared/repository.ts";

/** What a killed agent's repositories and processes are really like, by the tools themselves and by /proc. */

export const PASSPHRASE = "of a host that is killed";

export function pathsOf(root: string, provider: ProviderName): { source: string; repository: string } {
  return { source: join(root, `${provider}-source`), repository: join(root, `${provider}-repository`) };
}

/** @returns the ids of all snapshots, oldest first */
export async function realSnapshots(root: string, provider: ProviderName): Promise<string[]> {
  if (provider === "restic") {
    const listed = z.array(z.object({ id: z.string() })).nullable();
    return (listed.parse(JSON.parse(await call(root, provider, ["snapshots", "--json", "--no-lock"]))) ?? []).map(
      ({ id }) => id,
    );
  }
  const listed = z.object({ archives: z.array(z.object({ id: z.string() })) });
  return listed
    .parse(JSON.parse(await call(root, provider, ["list", "--json", "--bypass-lock"])))
    .archives.map(({ id }) => id);
}

/** What a snapshot holds of a file of the source. */
export async function storedText(
  root: string,
  { provider, snapshot, name }: { provider: ProviderName; snapshot: string; name: string },
): Promise<string> {
  const path = join(pathsOf(root, provider).source, name);
  if (provider === "restic") return await call(root, provider, ["dump", "--no-lock", snapshot, path]);
  const format = "{archive}{NL}";
  const names = (await call(root, provider, ["list", "--bypass-lock", "--format", `{id} ${format}`])).split("\n");
  const archive = names.find((line) => line.startsWith(`${snapshot} `))?.slice(snapshot.length + 1) ?? "";
  return await call(root, provider, ["extract", "--bypass-lock", "--stdout", `::${archive}`, path.slice(1)]);
}

/** @returns the names of locks that somebody holds, or has left */
export async function locksOf(root: string, provider: ProviderName): Promise<string[]> {
  const { repository } = pathsOf(root, provider);
  if (provider === "restic") return await readdir(join(repository, "locks"));
  return (await readdir(repository)).filter((name) => name.startsWith("lock.exclusive"));
}

/** @returns the command lines of living processes that work below the directory, but for the one with that pid */
export async function processesOf(root: string, but: number | undefined): Promise<string[]> {
  const found: string[] = [];
  for (const { pid } of listProcesses()) {
    if (pid === but || pid === process.pid) continue;
    const [environment, command] = await Promise.all(
      ["environ", "cmdline"].map((name) => readFile(`/proc/${pid}/${name}`, "latin1").catch(() => "")),
    );
    if (`${environment}${command}`.includes(root)) found.push(`${pid} ${command?.replaceAll("\0", " ").slice(0, 200)}`);
  }
  return found;
}

/** A run's engine that stores, if one runs now. */
export async function storingEngine(isOfRun: (run: string) => boolean): Promise<number | undefined> {
  for (const { pid } of listProcesses()) {
    const command = (await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")).split("\0");
    if (!command.includes("backup") && !command.includes("create")) continue;
    const environment = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
    const run = /(?:^|\0)HOLDFAST_RUN=([0-9a-f-]{36})/.exec(environment)?.[1];
    if (run !== undefined && isOfRun(run)) return pid;
  }
  return undefined;
}

async function call(root: string, provider: ProviderName, args: string[]): Promise<string> {
  const { repository } = pathsOf(root, provider);
  const secret = join(root, "passphrase");
  const cache = join(root, "by-hand");
  const { stdout } = await promisify(execFile)(provider, args, {
    maxBuffer: 64 * 1024 * 1024,
    env: {
      PATH: process.env["PATH"],
      LANG: "C.UTF-8",
      TZ: "UTC",
      HOME: cache,
      RESTIC_REPOSITORY: repository,
      RESTIC_PASSWORD_FILE: secret,
      RESTIC_CACHE_DIR: cache,
      BORG_REPO: repository,
      BORG_PASSCOMMAND: `cat ${secret}`,
      BORG_BASE_DIR: cache,
    },
  });
  return stdout;
}
