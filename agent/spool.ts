import { watch } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { Id } from "../shared/ids.ts";
import { type Refusal, Report } from "../shared/report.ts";
import { isOver } from "../shared/run.ts";
import type { Paths } from "./config.ts";
import { readTextIfThere, syncDirectory, writeFileAtomically } from "./files.ts";
import { ProcessMark } from "./process-mark.ts";

/** What sets going again what a run has halted: a program and its arguments, run as the agent's own user. */
export const Resumption = z.object({ name: z.string(), command: z.array(z.string()) });
export type Resumption = z.infer<typeof Resumption>;

/** What has to be run after a backup whose before hooks began, kept where a crash can't lose it. */
export const AfterObligation = z.object({
  user: z.string(),
  timeLimitMs: z.number(),
  binding: z.string(),
  contract: z.string(),
  hooks: z.array(z.object({ name: z.string(), command: z.array(z.string()) })),
  resume: z.array(Resumption).default([]).describe("before the hooks, the one halted last first"),
});
export type AfterObligation = z.infer<typeof AfterObligation>;

/** A process of a run: an engine and a hook are not ended in the same way. */
export const RunChild = ProcessMark.extend({ is: z.enum(["engine", "hook"]) });
export type RunChild = z.infer<typeof RunChild>;

/** One file of the spool: what is reported, and what is needed to end the run if its process dies. */
export const SpoolEntry = z.object({
  report: Report,
  owner: ProcessMark.nullable().describe("the process that runs it; null when it is over"),
  after: AfterObligation.nullable(),
  child: RunChild.nullish().describe("the process the run has started last"),
});
export type SpoolEntry = z.infer<typeof SpoolEntry>;

export interface Spool {
  /** Everything not yet removed, oldest first. */
  list(): Promise<SpoolEntry[]>;
  /** Durable when it returns. */
  write(entry: SpoolEntry): Promise<void>;
  /**
   * Removes what the control plane has. A run that is not over stays, and so does one that changed since.
   * @param sequence of the report that was accepted; any number for a refusal
   */
  removeIfUnchanged(id: Id, sequence: number): Promise<void>;
  addRefusal(refusal: Refusal): Promise<void>;
  /** Calls the listener after every change, also one of another process; it may be called more often than that. */
  changed(listener: () => void): () => void;
}

export function openSpool(paths: Pick<Paths, "spoolDir">): Spool {
  const directory = paths.spoolDir;
  const listeners = new Set<() => void>();
  const tell = (): void => {
    for (const listener of listeners) listener();
  };
  const fileOf = (id: Id): string => join(directory, `${id}.json`);

  const write = async (entry: SpoolEntry): Promise<void> => {
    await writeFileAtomically(fileOf(idOf(entry.report)), JSON.stringify(entry));
    tell();
  };

  return {
    write,
    addRefusal: (refusal) => write({ report: refusal, owner: null, after: null }),

    async list() {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const ids = (await readdir(directory)).flatMap((name) => /^([0-9a-f-]{36})\.json$/.exec(name)?.[1] ?? []);
      const entries = await Promise.all(ids.toSorted().map((id) => read(fileOf(id))));
      return entries.filter((entry) => entry !== null);
    },

    async removeIfUnchanged(id, sequence) {
      const entry = await read(fileOf(id));
      if (entry === null) return;
      const { report } = entry;
      if (report.type === "run" && (report.sequence !== sequence || !isOver(report.run.state))) return;
      await rm(fileOf(id), { force: true });
      await syncDirectory(directory);
      tell();
    },

    changed(listener) {
      listeners.add(listener);
      const stopWatching = watchDirectory(directory, listener);
      return () => {
        listeners.delete(listener);
        stopWatching();
      };
    },
  };
}

function idOf(report: Report): Id {
  return report.type === "run" ? report.run.id : report.id;
}

/** A file nobody can read is kept under another name for a person to look at, and no longer in the way. */
async function read(file: string): Promise<SpoolEntry | null> {
  const text = await readTextIfThere(file);
  if (text === null) return null;
  try {
    return SpoolEntry.parse(JSON.parse(text));
  } catch {
    await rename(file, `${file}.unreadable`);
    return null;
  }
}

/** Where inotify is not to be had, the listener still hears this process's own changes. */
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
