import { Buffer, isUtf8 } from "node:buffer";
import type { Dirent, Stats } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
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
    const entries = await listDirectory(path);
    const inside = entries
      .map((entry) => ({ path: join(path, entry.name), isDirectory: entry.isDirectory() }))
      .filter((entry) => !isExcludedPath(entry.path.toString()));
    for (let at = 0; at < inside.length; at += AT_ONCE) {
      signal.throwIfAborted();
      await Promise.all(inside.slice(at, at + AT_ONCE).map((entry) => look(entry.path)));
    }
    for (const entry of inside) if (entry.isDirectory) await walk(entry.path);
  };

  for (const source of sources) {
    signal.throwIfAborted();
    const stats = await look(source);
    if (stats?.isDirectory() === true) await walk(source);
  }
  const byPath = (one: KeptOtherwise, other: KeptOtherwise): number => (one.path < other.path ? -1 : 1);
  return { size, odd, sockets, keptOtherwise: keptOtherwise.toSorted(byPath) };
}

/** Names that are not UTF-8 in their real bytes. Empty for what can't be read. */
async function listDirectory(path: EntryName): Promise<readonly (Dirent | Dirent<Buffer>)[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    if (!entries.some(({ name }) => name.includes("\ufffd"))) return entries;
    return await readdir(path, { withFileTypes: true, encoding: "buffer" });
  } catch {
    return [];
  }
}

function join(directory: EntryName, name: EntryName): EntryName {
  if (typeof directory !== "string" || (typeof name !== "string" && !isUtf8(name))) {
    return Buffer.concat([Buffer.from(directory), Buffer.from("/"), Buffer.from(name)]);
  }
  return `${directory === "/" ? "" : directory}/${name.toString()}`;
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
