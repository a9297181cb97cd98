import * as z from "zod";
import { boundedText } from "../../system/process/lines.ts";
import { instantAt } from "../../../shared/ids.ts";
import type { SnapshotFacts } from "../../../shared/run.ts";
import { RunError, runError } from "../../run-error.ts";
import type { BorgRunner } from "./command.ts";
import { borgFailure } from "./failures.ts";
import type { Access, ScopedSnapshot } from "../provider.ts";

const Archive = z.object({
  id: z.string().regex(/^[0-9a-f]{64}$/),
  name: z.string(),
  start: z.string(),
  comment: z.string().optional(),
});

export const Listing = z.object({
  repository: z.object({ id: z.string().regex(/^[0-9a-f]{64}$/) }),
  archives: z.array(Archive),
});

/** The content of an archive's comment: borg's list does not contain what was stored. */
const Comment = z.object({ paths: z.array(z.string()) });

const MOST_LISTED = 10_000;
const MOST_PATHS = 1000;
const MAX_COMMENT_CHARACTERS = 32_768;

/** One archive of the binding. Borg finds an archive only by its name. */
export interface NamedSnapshot extends SnapshotFacts {
  readonly name: string;
}

/** A unique name for an archive of this host and binding. @param at in ms */
export function archiveName(access: Pick<Access, "scope">, at: number): string {
  return `${prefixOf(access)}${new Date(at).toISOString()}`;
}

/** The time in a name that `archiveName` made. */
export function takenAtOf(access: Pick<Access, "scope">, name: string): string {
  return name.slice(prefixOf(access).length);
}

/** Restricts a command to the binding's own archives. */
export function scopeArgs(access: Pick<Access, "scope">): string[] {
  return ["--glob-archives", `${prefixOf(access)}*`];
}

/** Ids contain no characters that are special in a glob or placeholder. */
function prefixOf({ scope }: Pick<Access, "scope">): string {
  return `${scope.host}-${scope.binding}-`;
}

/** The comment for `create`. Braces are doubled, since borg expands placeholders. */
export function commentArgs(paths: readonly string[]): string[] {
  const kept: string[] = [];
  let length = 0;
  for (const path of paths) {
    length += path.length + 3;
    if (length > MAX_COMMENT_CHARACTERS) break;
    kept.push(path);
  }
  return ["--comment", JSON.stringify({ paths: kept }).replace(/[{}]/g, "$&$&")];
}

/** The binding's completed archives, oldest first (the newest 10,000). Throws RunError. */
export async function listArchives(runner: BorgRunner): Promise<NamedSnapshot[]> {
  return (await listAll(runner)).archives;
}

const UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
const OWN_NAME = new RegExp(`^(${UUID})-(${UUID})-\\d{4}-[^.]*\\.\\d{3}Z$`);
const PREFIX_LENGTH = 2 * (36 + 1);

/** Borg's suffix for the checkpoint of an interrupted archive. */
const UNFINISHED = /\.checkpoint(\.\d+)?$/;

/**
 * Lists without a lock, also after the run was cancelled. Throws RunError.
 * @returns the binding's archives, and separately the names of unfinished ones
 */
export async function listAll(runner: BorgRunner): Promise<{ archives: NamedSnapshot[]; unfinished: string[] }> {
  const { access } = runner;
  const listed = parseListing(await list(runner, scopeArgs(access)), prefixOf(access).length);
  return {
    archives: listed.filter(({ name }) => !UNFINISHED.test(name)).slice(-MOST_LISTED),
    unfinished: listed.map(({ name }) => name).filter((name) => UNFINISHED.test(name)),
  };
}

async function list(runner: BorgRunner, scope: readonly string[]): Promise<string> {
  const { access } = runner;
  const answer = boundedText();
  const what = ["--json", "--consider-checkpoints", "--format", "{comment}", ...scope];
  const ended = await runner.call({
    args: ["list", "--log-json", "--bypass-lock", ...what],
    runsAfterCancel: true,
    timeLimitMs: access.timeouts.openMs,
    onStdout: answer.push,
  });
  if (ended.exitCode !== 0) throw new RunError(borgFailure(ended, { what: "list", redact: access.log.redact }));
  return answer.text();
}

/** Lists those of every host and binding, and none that Holdfast did not make, as `listArchives`. Throws RunError. */
export async function listEveryArchive(runner: BorgRunner): Promise<ScopedSnapshot[]> {
  const text = await list(runner, []);
  return parseListing(text, PREFIX_LENGTH).flatMap(({ name, ...facts }) => {
    const [, host, binding] = OWN_NAME.exec(name) ?? [];
    return host === undefined || binding === undefined ? [] : [{ ...facts, scope: { host, binding } }];
  });
}

export function withoutName({ name: _name, ...facts }: NamedSnapshot): SnapshotFacts {
  return facts;
}

/** The name of the binding's archive with this id. @throws `snapshot.missing` */
export async function nameOf(runner: BorgRunner, id: string): Promise<string> {
  const found = (await listArchives(runner)).find((archive) => archive.id === id);
  if (found === undefined)
    throw runError("snapshot.missing", `the repository does not hold snapshot ${id.slice(0, 8)} any more`);
  return found.name;
}

function parseListing(text: string, prefixLength: number): NamedSnapshot[] {
  const listing = Listing.safeParse(parseJson(text));
  if (!listing.success) throw unreadable();
  const archives = listing.data.archives.map(({ id, name, start, comment }) => ({
    id,
    name,
    takenAt: instantOf(name.slice(prefixLength), start),
    paths: pathsIn(comment ?? "").slice(0, MOST_PATHS),
    bytesTotal: null,
  }));
  return archives.toSorted((one, other) => (one.takenAt < other.takenAt ? -1 : 1));
}

/** The time in the name has milliseconds. borg 1.2 lists whole seconds, in UTC because TZ is set. */
function instantOf(nameTime: string, start: string): string {
  const at = instantAt(Date.parse(nameTime)) ?? instantAt(Date.parse(`${start.slice(0, 19)}Z`));
  if (at === null) throw unreadable();
  return at;
}

function unreadable(): RunError {
  return runError("engine.failed", "borg list: its answer can't be read");
}

function pathsIn(comment: string): string[] {
  const parsed = Comment.safeParse(parseJson(comment));
  return parsed.success ? parsed.data.paths : [];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
