import { watch } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../shared/error-message.ts";
import type { HostTrouble } from "../../shared/host.ts";
import type { Id } from "../../shared/ids.ts";
import type { Refusal, Report } from "../../shared/report.ts";
import { isOver } from "../../shared/run.ts";
import type { Paths } from "../config.ts";
import { syncDirectory, writeFileAtomically } from "../../shared/node/files.ts";
import { SpoolEntry } from "./spool-entry.ts";
import { type Bounds, BOUNDS, usageOf, trimSpool, recordDropped } from "./bounds.ts";
import { peekState, quarantine, writeState } from "../system/state-file.ts";

export interface Spool {
  /** Every entry not yet removed, oldest first. */
  list(): Promise<SpoolEntry[]>;
  /** Throws when there is no space for a run's report: a run that can't be reported does not start. */
  ensureWritable(): Promise<void>;
  /**
   * Durable when it returns, otherwise throws. Exception: an entry that is final is kept in memory when it can't be
   * written, delivered from there, and written later.
   */
  write(entry: SpoolEntry): Promise<void>;
  /**
   * Removes an entry that the control plane has stored. Kept if the run is not over, or has changed since.
   * @param sequence of the accepted report; any number for a refusal
   */
  removeIfUnchanged(id: Id, sequence: number): Promise<void>;
  addRefusal(refusal: Refusal): Promise<void>;
  /** Calls the listener after every change, also by another process. It may be called more often. */
  onChange(listener: () => void): () => void;
  /** Problems found with the last access: the spool can't be written, or is nearly full. */
  troubles(): HostTrouble[];
}

/** A run's final report is seldom larger. */
const ROOM_BYTES = 65_536;

export function openSpool(paths: Pick<Paths, "spoolDir">, bounds: Bounds = BOUNDS): Spool {
  const directory = paths.spoolDir;
  const listeners = new Set<() => void>();
  const notify = (): void => {
    for (const listener of listeners) listener();
  };
  const fileOf = (id: Id): string => join(directory, `${id}.json`);
  /** Final entries that could not be written. */
  const unwritten = new Map<Id, SpoolEntry>();
  /** Bytes of each file, as far as known. */
  const sizes = new Map<Id, number>();
  let fault: string | null = null;

  const put = async (entry: SpoolEntry): Promise<void> => {
    const id = idOf(entry.report);
    try {
      sizes.set(id, await writeState(fileOf(id), entry));
      fault = null;
    } catch (error) {
      fault = messageOf(error);
      throw error;
    }
  };
  const write = async (entry: SpoolEntry): Promise<void> => {
    const id = idOf(entry.report);
    try {
      await put(entry);
      unwritten.delete(id);
    } catch (error) {
      if (!isFinal(entry)) throw error;
      unwritten.set(id, entry);
    } finally {
      notify();
    }
    if (isFinal(entry)) await enforceBounds();
  };
  let trimming = Promise.resolve();
  /** One at a time: two would drop twice as much. A failure is tried again after the next run. */
  const enforceBounds = async (): Promise<void> => {
    const trim = async (): Promise<void> => {
      const dropped = await trimSpool({ bounds, sizes, read, put, drop });
      if (dropped > 0) await recordDropped(paths, dropped);
    };
    trimming = trimming.then(trim).catch(() => undefined);
    await trimming;
  };
  const drop = async (id: Id): Promise<void> => {
    unwritten.delete(id);
    sizes.delete(id);
    await rm(fileOf(id), { force: true });
  };
  const read = async (id: Id): Promise<SpoolEntry | null> => {
    const kept = unwritten.get(id);
    if (kept !== undefined) return kept;
    const file = fileOf(id);
    const found = await peekState(file, SpoolEntry);
    if (found === "damaged") await quarantine(file);
    if (found === "none" || found === "damaged") {
      sizes.delete(id);
      return null;
    }
    sizes.set(id, found.bytes);
    return found.value;
  };
  const ensureWritable = async (): Promise<void> => {
    const probe = join(directory, "room");
    try {
      await writeFileAtomically(probe, " ".repeat(ROOM_BYTES));
      await rm(probe, { force: true });
      fault = null;
    } catch (error) {
      fault = messageOf(error);
      throw error;
    }
  };
  const retryUnwritten = async (): Promise<void> => {
    if (fault !== null) await ensureWritable();
    for (const [id, entry] of unwritten) await put(entry).then(() => unwritten.delete(id));
  };

  return {
    write,
    ensureWritable,
    addRefusal: (refusal) => write({ report: refusal, owner: null, after: null }),

    async list() {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await retryUnwritten().catch(() => undefined);
      const ids = (await readdir(directory)).flatMap((name) => /^([0-9a-f-]{36})\.json$/.exec(name)?.[1] ?? []);
      const entries: SpoolEntry[] = [];
      for (const id of [...new Set([...ids, ...unwritten.keys()])].toSorted()) {
        const entry = await read(id);
        if (entry !== null) entries.push(entry);
      }
      for (const id of sizes.keys()) if (!ids.includes(id)) sizes.delete(id);
      return entries;
    },

    async removeIfUnchanged(id, sequence) {
      const entry = await read(id);
      if (entry === null) return;
      const { report } = entry;
      if (report.type === "run" && (report.sequence !== sequence || !isOver(report.run.state))) return;
      await drop(id);
      await syncDirectory(directory);
      notify();
    },

    onChange(listener) {
      listeners.add(listener);
      const stopWatching = watchDirectory(directory, listener);
      return () => {
        listeners.delete(listener);
        stopWatching();
      };
    },

    troubles() {
      const full = usageOf(sizes, bounds).isNearlyFull
        ? `${directory} holds more than 80 % of its limit (${bounds.entries} reports, ${bounds.bytes >> 20} MiB): soon the logs of the oldest runs are dropped, in the end their reports; is the control plane reachable?`
        : null;
      const unwritable = fault === null ? null : `${directory} can't be written, so no run starts: ${fault}`;
      return [
        ...(full === null ? [] : [{ code: "spool.full" as const, subject: directory, message: full }]),
        ...(unwritable === null ? [] : [{ code: "disk.full" as const, subject: directory, message: unwritable }]),
      ];
    },
  };
}

function isFinal({ report }: SpoolEntry): boolean {
  return report.type === "refusal" || isOver(report.run.state);
}

function idOf(report: Report): Id {
  return report.type === "run" ? report.run.id : report.id;
}

/** Without inotify, the listener still hears of this process's own changes. */
function watchDirectory(directory: string, listener: () => void): () => void {
  try {
    const watcher = watch(directory, { persistent: false }, (_event, name) => {
      if (name === null || name.endsWith(".json")) listener();
    });
    watcher.on("error", () => watcher.close());
    return () => watcher.close();
  } catch {
    return () => undefined;
  }
}
