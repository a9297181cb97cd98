import { Buffer, isUtf8 } from "node:buffer";
import type { Stats } from "node:fs";
import { lstat, opendir, readlink } from "node:fs/promises";
import { excludeMatcher } from "../../shared/pattern-dialects.ts";
import type { Fidelity, SnapshotContents } from "../providers/contents.ts";
import type { KeptOtherwise } from "../state/kept-otherwise.ts";
import type { SourceSize } from "../state/source-history.ts";
import type { EntryName } from "../system/descriptors.ts";
import { shownName } from "../system/display-name.ts";

/** What the sources hold. */
export interface Measured {
  readonly size: SourceSize;
  /** What the tool stores otherwise than it is; the first of them. */
  readonly keptOtherwise: readonly KeptOtherwise[];
  /** How many of all there are of each kind. */
  readonly odd: Readonly<Record<OddKind, number>>;
  /** Sockets, the first of them. */
  readonly sockets: readonly string[];
}

export type OddKind = "time" | "target" | "socket";

interface MeasureInput {
  readonly excludes: readonly string[];
  readonly signal: AbortSignal;
  readonly tool: Pick<SnapshotContents, "keeps" | "replacementChar">;
}

/** More are counted only. */
const MOST_REMEMBERED = 2_000;
const MOST_SOCKETS = 10;
/** So many are asked for at once: one after the other takes eight times as long. */
const AT_ONCE = 256;

/**
 * Counts what the sources hold without excluded paths, and looks for what the tool can't store as it is. Unreadable
 * directories are not counted.
 */
export async function measureSources(sources: readonly string[], input: MeasureInput): Promise<Measured> {
  const { signal, tool } = input;
  const size = { files: 0, bytes: 0 };
  const odd = { time: 0, target: 0, socket: 0 };
  const [keptOtherwise, sockets]: [KeptOtherwise[], string[]] = [[], []];
  const isExcludedPath = excludeMatcher(input.excludes);

  const lookForOdd = async (path: EntryName, stats: Stats): Promise<void> => {
    const isOddTime = stats.mtimeMs < tool.keeps.oldestMs || stats.mtimeMs > tool.keeps.newestMs;
    const mtime = isOddTime ? await oddTime(path, tool.keeps) : null;
    const target = stats.isSymbolicLink() && !tool.keeps.keepsRawTargets ? await oddTarget(path) : null;
    if (mtime !== null) odd.time++;
    if (target !== null) odd.target++;
    if ((mtime === null && target === null) || keptOtherwise.length >= MOST_REMEMBERED) return;
    keptOtherwise.push({
      path: shown(path, tool.replacementChar),
      ...(mtime === null ? {} : { mtime }),
      ...(target === null ? {} : { target: target.toString("base64") }),
    });
  };

  const look = async (path: EntryName): Promise<Stats | null> => {
    const stats = await lstat(path).catch(() => null);
    if (stats === null) return null;
    if (!stats.isDirectory()) size.files++;
    if (stats.isFile()) size.bytes += stats.size;
    if (!stats.isSocket()) await lookForOdd(path, stats);
    else if (++odd.socket <= MOST_SOCKETS) sockets.push(shown(path, tool.replacementChar));
    return stats;
  };

  const walk = async (path: EntryName): Promise<void> => {
    const directories: EntryName[] = [];
    for await (const entries of listDirectory(path)) {
      signal.throwIfAborted();
      const inside = entries.filter((entry) => !isExcludedPath(entry.path.toString()));
      await Promise.all(inside.map((entry) => look(entry.path)));
      for (const entry of inside) if (entry.isDirectory) directories.push(entry.path);
    }
    for (const directory of directories) await walk(directory);
  };

  for (const source of sources) {
    signal.throwIfAborted();
    const stats = await look(source);
    if (stats?.isDirectory() === true) await walk(source);
  }
  const byPath = (one: KeptOtherwise, other: KeptOtherwise): number => (one.path < other.path ? -1 : 1);
  return { size, odd, sockets, keptOtherwise: keptOtherwise.toSorted(byPath) };
}

interface Entry {
  readonly path: EntryName;
  readonly isDirectory: boolean;
}

/** Some of the entries at a time, all in the end. None of what can't be read. */
async function* listDirectory(path: EntryName): AsyncGenerator<Entry[]> {
  let some: Entry[] = [];
  try {
    // As Latin-1, each character of a name is a byte of it.
    for await (const entry of await opendir(path, { bufferSize: AT_ONCE, encoding: "latin1" })) {
      some.push({ path: join(path, realName(entry.name)), isDirectory: entry.isDirectory() });
      if (some.length < AT_ONCE) continue;
      yield some;
      some = [];
    }
  } catch {
    // What was listed before counts.
  }
  if (some.length > 0) yield some;
}

function realName(latin1: string): EntryName {
  // oxlint-disable-next-line no-control-regex -- all of ASCII
  if (/^[\u0000-\u007f]*$/.test(latin1)) return latin1;
  const bytes = Buffer.from(latin1, "latin1");
  return isUtf8(bytes) ? bytes.toString() : bytes;
}

function join(directory: EntryName, name: EntryName): EntryName {
  if (typeof directory === "string" && typeof name === "string") {
    return `${directory === "/" ? "" : directory}/${name}`;
  }
  return Buffer.concat([Buffer.from(directory), Buffer.from("/"), Buffer.from(name)]);
}

function shown(path: EntryName, standIn: string): string {
  return typeof path === "string" ? path : shownName(path, standIn);
}

async function oddTarget(path: EntryName): Promise<Buffer | null> {
  const target = await readlink(path, { encoding: "buffer" }).catch(() => null);
  return target === null || isUtf8(target) ? null : target;
}

async function oddTime(path: EntryName, { oldestMs, newestMs }: Fidelity): Promise<KeptOtherwise["mtime"] | null> {
  const stats = await lstat(path, { bigint: true }).catch(() => null);
  if (stats === null) return null;
  const us = Number(stats.mtimeNs / 1000n);
  return { us, storedUs: Math.min(Math.max(us, oldestMs * 1000), newestMs * 1000) };
}
