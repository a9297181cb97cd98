import { readdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { HostTrouble } from "../../shared/host.ts";
import type { Paths } from "../config.ts";
import { isMissing } from "../system/files.ts";
import type { Spool } from "./spool.ts";
import { droppedFile, droppedReports } from "./bounds.ts";
import { QUARANTINE_SUFFIX } from "../system/state-file.ts";
import type { Timers } from "../system/timers.ts";

/** So many damaged files are named; of more than that only how many there are. */
const MOST_NAMED = 20;
/** Less than this, and what the agent writes next may not fit. */
const LEAST_BYTES = 4 << 20;
const LEAST_FILES = 16;
const LOOK_EVERY_MS = 60_000;

/**
 * What a person has to look at on this host, as it is now: files that were damaged and are set aside, until somebody has
 * taken them away, reports that were dropped, and disks that are full.
 * @param spool what is known of it besides, by the daemon that works with it
 */
export async function findTroubles(paths: Paths, spool?: Pick<Spool, "troubles">): Promise<HostTrouble[]> {
  const found = [
    ...(await damagedFiles(paths)),
    ...(await droppedReportTroubles(paths)),
    ...(spool?.troubles() ?? []),
    ...(await fullDisks(paths)),
  ];
  const isFirst = ({ code, subject }: HostTrouble, index: number): boolean =>
    found.findIndex((one) => one.code === code && one.subject === subject) === index;
  return found.filter(isFirst);
}

/** Looks once a minute, and calls when it is not what it was. */
export function watchTroubles(
  { timers, find }: { timers: Timers; find: () => Promise<HostTrouble[]> },
  onChange: () => void,
): () => void {
  let cancelTimer = (): void => {};
  let isStopped = false;
  let before: string | null = null;
  const look = async (): Promise<void> => {
    const now = await find().then(JSON.stringify, () => before);
    if (isStopped) return;
    if (before !== null && now !== before) onChange();
    before = now;
    cancelTimer = timers.after(LOOK_EVERY_MS, () => void look());
  };
  void look();
  return () => {
    isStopped = true;
    cancelTimer();
  };
}

async function damagedFiles(paths: Paths): Promise<HostTrouble[]> {
  const directories = [
    paths.state,
    paths.spoolDir,
    paths.ordersDir,
    paths.bindingsDir,
    paths.repositoriesDir,
    join(paths.state, "sources"),
  ];
  const found: HostTrouble[] = [];
  for (const directory of directories) {
    for (const name of (await namesIn(directory)).filter((one) => one.endsWith(QUARANTINE_SUFFIX)).toSorted()) {
      found.push(damagedFileTrouble(paths, { directory, name }));
    }
  }
  const named = found.slice(0, MOST_NAMED);
  if (found.length <= MOST_NAMED) return named;
  const more = `${found.length - MOST_NAMED} more files below ${paths.state} were damaged and are set aside as *${QUARANTINE_SUFFIX}`;
  return [...named, { code: "state.damaged", subject: paths.state, message: `${more}: look at the host's disk` }];
}

function damagedFileTrouble(paths: Paths, { directory, name }: { directory: string; name: string }): HostTrouble {
  const subject = join(directory, name);
  const code =
    directory === paths.spoolDir
      ? "spool.damaged"
      : directory === paths.state && name.startsWith("assignment.")
        ? "assignment.damaged"
        : "state.damaged";
  return { code, subject: subject.slice(-512), message: `${SENTENCE[code]} ${subject}, ${TO_DO}`.slice(0, 1000) };
}

const TO_DO = "which was damaged and is set aside: look at the host's disk, then remove the file";
const SENTENCE = {
  "spool.damaged": "What this host had to report of a run, and what the run owed (hooks after it), is lost with",
  "assignment.damaged": "What this host has to do was kept in",
  "state.damaged": "This host has forgotten what it kept in",
} as const;

async function droppedReportTroubles(paths: Paths): Promise<HostTrouble[]> {
  const reports = await droppedReports(paths);
  const subject = droppedFile(paths);
  const message = `${reports} reports of runs were dropped, since too many waited to be delivered: look into the repositories what was backed up, then remove ${subject}`;
  return reports === 0 ? [] : [{ code: "spool.full", subject, message }];
}

async function fullDisks(paths: Paths): Promise<HostTrouble[]> {
  const troubles: HostTrouble[] = [];
  const seen = new Set<number>();
  for (const directory of [paths.state, paths.spoolDir, paths.cache]) {
    const device = await stat(directory).then(
      ({ dev }) => dev,
      () => null,
    );
    if (device === null || seen.has(device)) continue;
    seen.add(device);
    const missing = await describeLowSpace(directory);
    if (missing === null) continue;
    const message = `the disk of ${directory} is full (${missing}): make room, else runs can't begin or be told of`;
    troubles.push({ code: "disk.full", subject: directory, message });
  }
  return troubles;
}

/** What a directory's disk has too little of; null when there is enough. */
export async function describeLowSpace(directory: string): Promise<string | null> {
  const { bavail, bsize, files, ffree } = await statfs(directory);
  if (bavail * bsize < LEAST_BYTES) return `less than ${LEAST_BYTES >> 20} MiB free`;
  // Filesystems that make them as they need say that they have none at all.
  return files > 0 && ffree < LEAST_FILES ? "hardly an inode free" : null;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
