import * as z from "zod";
import { boundedText } from "../../system/process/lines.ts";
import { instantAt } from "../../../shared/ids.ts";
import type { SnapshotFacts } from "../../../shared/run.ts";
import { RunError, runError } from "../../run-error.ts";
import type { Access, ListedSnapshot, ScopedSnapshot } from "../provider.ts";
import type { ResticRunner } from "./command.ts";
import { resticFailure } from "./failures.ts";

export const ResticSnapshot = z.object({
  id: z.string().regex(/^[0-9a-f]{64}$/),
  time: z.string(),
  paths: z.array(z.string()).nullish(),
  hostname: z.string().nullish(),
  tags: z.array(z.string()).nullish(),
  summary: z.object({ total_bytes_processed: z.int().min(0).optional() }).nullish(),
});

const TAG = "holdfast:";
const MOST_LISTED = 10_000;
const MOST_PATHS = 1000;
const MOST_TAGS = 100;

/** Restricts every command to the binding's own snapshots. */
export function scopeArgs({ scope }: Pick<Access, "scope">): string[] {
  return ["--host", scope.host, "--tag", tagOf(scope)];
}

export function tagOf({ binding }: Access["scope"]): string {
  return `${TAG}${binding}`;
}

/**
 * Lists the binding's snapshots, oldest first (the newest 10,000). Needs no lock: a stale one must not hide them. Works
 * also after the run was cancelled. Throws RunError.
 */
export async function listSnapshots(runner: ResticRunner): Promise<ListedSnapshot[]> {
  return parseSnapshots(await list(runner, scopeArgs(runner.access))).map(({ hostname: _host, tags, ...facts }) => {
    const given = (tags ?? []).filter((tag) => !tag.startsWith(TAG)).slice(0, MOST_TAGS);
    return given.length === 0 ? facts : { ...facts, tags: given };
  });
}

/** Lists those of every host and binding, and none that Holdfast did not make. Otherwise as `listSnapshots`. */
export async function listEverySnapshot(runner: ResticRunner): Promise<ScopedSnapshot[]> {
  return parseSnapshots(await list(runner, [])).flatMap(({ hostname, tags, ...facts }) => {
    const binding = tags?.find((tag) => tag.startsWith(TAG))?.slice(TAG.length);
    return binding === undefined ? [] : [{ ...facts, scope: { host: hostname ?? "", binding } }];
  });
}

async function list(runner: ResticRunner, scope: readonly string[]): Promise<string> {
  const { access, restic } = runner;
  const answer = boundedText();
  const ended = await runner.call({
    args: ["snapshots", "--json", "--no-lock", ...scope],
    runsAfterCancel: true,
    isOneLine: true,
    timeLimitMs: access.timeouts.openMs,
    onStdout: answer.push,
  });
  const context = { what: "snapshots", redact: access.log.redact };
  if (ended.exitCode !== 0) throw new RunError(resticFailure(restic, ended, context));
  // With exit code 0, restic leaves out snapshots whose files it may not read.
  if (/^Ignoring /m.test(ended.stderr)) {
    throw runError(
      "repository.unreachable",
      `restic snapshots: some snapshots can't be read by user ${access.user.name}`,
      "Let one user alone work on the repository, and give it all of its files.",
    );
  }
  return answer.text();
}

type FoundSnapshot = SnapshotFacts & Pick<z.infer<typeof ResticSnapshot>, "hostname" | "tags">;

function parseSnapshots(text: string): FoundSnapshot[] {
  const listed = z.array(ResticSnapshot).nullable().safeParse(parseJson(text));
  if (!listed.success) throw unreadable();
  const facts = (listed.data ?? []).map(({ id, time, paths, summary, hostname, tags }) => ({
    id,
    takenAt: instantOf(time),
    paths: (paths ?? []).slice(0, MOST_PATHS),
    bytesTotal: summary?.total_bytes_processed ?? null,
    hostname,
    tags,
  }));
  return facts.toSorted((one, other) => (one.takenAt < other.takenAt ? -1 : 1)).slice(-MOST_LISTED);
}

/** restic writes nanoseconds and its own offset. */
function instantOf(time: string): string {
  const at = instantAt(Date.parse(time.replace(/(\.\d{3})\d+/, "$1")));
  if (at === null) throw unreadable();
  return at;
}

function unreadable(): RunError {
  return runError("engine.failed", "restic snapshots: its answer can't be read");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
