import { stat } from "node:fs/promises";
import type { EngineFacts } from "../../shared/host.ts";
import type { ProviderName } from "../../shared/repository.ts";
import { HOOK_LADDER } from "../system/process/kill-ladder.ts";
import { CHILD_PATH, findExecutable } from "../system/executables.ts";
import { runProcess } from "../system/process/process.ts";
import { ownUser } from "../system/process/user.ts";
import { runError } from "../run-error.ts";

/** An engine: how to find it, and which versions are supported. */
export interface EngineDefinition {
  readonly provider: ProviderName;
  /** Environment variable with the path of the program, instead of PATH. */
  readonly variable: string;
  /** Programs to look for, the preferred one first. */
  readonly programs: readonly string[];
  readonly versionArgs: readonly string[];
  /** The first group is the version. */
  readonly versionLine: RegExp;
  /** @returns why this version can't be used; null when it can */
  faultOf(version: string): string | null;
  /** How a person installs a supported version. */
  readonly install: string;
}

/** A usable engine on this host. */
export interface Engine {
  readonly path: string;
  readonly version: string;
  /** Whether it is this version or a newer one. */
  readonly isAtLeast: (version: string) => boolean;
}

const VERSION_LIMIT_MS = 60_000;

/** Finds the engine named by the variable, or in PATH; null when there is none. */
export async function findEngine(engine: EngineDefinition): Promise<EngineFacts | null> {
  const named = configuredPath(engine);
  for (const program of named === "" ? engine.programs : [named]) {
    const path = await findExecutable(program, process.env["PATH"] ?? CHILD_PATH);
    const version = path === null ? null : await versionOf(engine, path);
    if (path === null || version === null) continue;
    return { provider: engine.provider, version, path, fault: engine.faultOf(version) };
  }
  return null;
}

/** @throws `engine.missing` or `engine.unsupported` */
export async function requireEngine(engine: EngineDefinition): Promise<Engine> {
  const found = await findEngine(engine);
  if (found === null) {
    const named = configuredPath(engine);
    const message =
      named === "" ? `${engine.provider} is not installed on this host` : `${named} is not a ${engine.provider}`;
    throw runError("engine.missing", message, engine.install);
  }
  const { path, version, fault } = found;
  if (fault !== null) throw runError("engine.unsupported", `${path}: ${fault}`, engine.install);
  return { path, version, isAtLeast: (wanted) => isAtLeast(version, wanted) };
}

/** Whether a version is this one or a newer one. A suffix after the numbers (of a beta) is ignored. */
export function isAtLeast(version: string, wanted: string): boolean {
  const ours = version.split(".").map((part) => Number.parseInt(part, 10));
  const theirs = wanted.split(".").map((part) => Number.parseInt(part, 10));
  for (const [index, part] of theirs.entries()) {
    const difference = (ours[index] ?? 0) - part;
    if (difference !== 0) return difference > 0;
  }
  return true;
}

function configuredPath({ variable }: EngineDefinition): string {
  return process.env[variable] ?? "";
}

/** By path: what a program answered, and which file it was then. */
const versions = new Map<string, { readonly file: string; readonly version: string }>();

/** Asks the program once: an upgrade of the package replaces its file, and then it is asked again. */
async function versionOf(engine: EngineDefinition, path: string): Promise<string | null> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  const file = [engine.provider, dev, ino, size, mtimeNs, ctimeNs].join(" ");
  const known = versions.get(path);
  if (known?.file === file) return known.version;
  const version = await askVersion(engine, path);
  // A program that gave no answer may only have been out of time.
  if (version !== null) versions.set(path, { file, version });
  return version;
}

async function askVersion({ versionArgs, versionLine }: EngineDefinition, path: string): Promise<string | null> {
  let first: string | null = null;
  await runProcess(
    {
      program: path,
      args: versionArgs,
      env: { PATH: CHILD_PATH, HOME: "/", LANG: "C.UTF-8" },
      user: ownUser(),
      umask: "077",
      fileDirectory: "/",
    },
    { ladder: HOOK_LADDER, timeLimitMs: VERSION_LIMIT_MS, onStdout: (line) => (first ??= line) },
  );
  return versionLine.exec(first ?? "")?.[1] ?? null;
}
