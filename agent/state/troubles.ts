import { stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { HostTrouble } from "../../shared/host.ts";
import type { Paths } from "../config.ts";
import { namesIn } from "../../shared/node/files.ts";
import type { Spool } from "./spool.ts";
import { chainHeadTroubles } from "./chain-head.ts";
import { droppedFile, droppedReports } from "./bounds.ts";
import { QUARANTINE_SUFFIX } from "../system/state-file.ts";
import type { Timers } from "../system/timers.ts";

/** At most this many damaged files are named; of the rest only the number is given. */
const MOST_NAMED = 20;
/** With less space than this, the next write may fail. */
const LEAST_BYTES = 4 << 20;
const LEAST_FILES = 16;
const CHECK_EVERY_MS = 60_000;

/**
 * Problems on this host that need a person: damaged files that were quarantined and not removed yet, dropped reports,
 * full disks.
 * @param spool of the daemon, if it asks: adds what the spool has noticed
 */
export async function findTroubles(paths: Paths, spool?: Pick<Spool, "troubles">): Promise<HostTrouble[]> {
  const found = [
    ...(await damagedFiles(paths)),
    ...(await droppedReportTroubles(paths)),
    ...(await chainHeadTroubles(paths)),
    ...(spool?.troubles() ?? []),
    ...(await fullDisks(paths)),
  ];
  const isFirst = ({ code, subject }: HostTrouble, index: number): boolean =>
    found.findIndex((one) => one.code === code && one.subject === subject) === index;
  return found.filter(isFirst);
}

/** Checks once a minute, and calls `onChange` when the troubles have changed. */
export function watchTroubles(
  { timers, find }: { timers: Timers; find: () => Promise<HostTrouble[]> },
  onChange: () => void,
): () => void {
  let cancelTimer = (): void => {};
  let isStopped = false;
  let before: string | null = null;
  const check = async (): Promise<void> => {
    const now = await find().then(JSON.stringify, () => before);
    if (isStopped) return;
    if (before !== null && now !== before) onChange();
    before = now;
    cancelTimer = timers.after(CHECK_EVERY_MS, () => void check());
  };
  void check();
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
  const more = `${found.length - MOST_NAMED} more files below ${paths.state} were damaged and moved aside to *${QUARANTINE_SUFFIX}`;
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
  return { code, subject: subject.slice(-512), message: `${SENTENCE[code]} ${subject}, ${NEXT_STEP}`.slice(0, 1000) };
}

const NEXT_STEP = "which was damaged and has been moved aside: check the host's disk, then remove the file";
const SENTENCE = {
  "spool.damaged": "A run's report, and its cleanup (after hooks), is lost with",
  "assignment.damaged": "This host's assignment was stored in",
  "state.damaged": "Agent state is lost with",
} as const;

async function droppedReportTroubles(paths: Paths): Promise<HostTrouble[]> {
  const reports = await droppedReports(paths);
  const subject = droppedFile(paths);
  const message = `${reports} run reports were dropped, because too many were waiting to be delivered: check the repositories for what was backed up, then remove ${subject}`;
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
    const message = `the disk of ${directory} is full (${missing}): free some space, otherwise runs can't start or be reported`;
    troubles.push({ code: "disk.full", subject: directory, message });
  }
  return troubles;
}

/** What a directory's disk is short of; null when there is enough. */
export async function describeLowSpace(directory: string): Promise<string | null> {
  const { bavail, bsize, files, ffree } = await statfs(directory);
  if (bavail * bsize < LEAST_BYTES) return `less than ${LEAST_BYTES >> 20} MiB free`;
  // Filesystems that allocate inodes on demand report zero.
  return files > 0 && ffree < LEAST_FILES ? "almost no inodes free" : null;
}
