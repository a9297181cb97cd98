import type { RestoredItem } from "../../shared/run.ts";
import type { RestoreResult } from "./request.ts";
import type { Plan } from "./plan.ts";
import type { SnapshotNode } from "../providers/contents.ts";
import type { Verification } from "./verify.ts";
import type { RestoreWork } from "./work.ts";
import type { Written } from "./write.ts";
import { runFailure } from "../run-error.ts";

const MOST_WARNINGS = 100;
const MAX_WARNING_CHARACTERS = 1000;

interface RestoreParts {
  readonly plan: Plan;
  readonly written: Written;
  /** Null when there was none. */
  readonly verification: Verification | null;
}

/**
 * Builds a restore's result. A path that was not written, or differs from the snapshot afterwards, makes it a failure.
 * What was skipped on purpose and differs is only listed.
 */
export function buildRestoreResult(
  { access, input }: RestoreWork,
  { plan, written, verification }: RestoreParts,
): RestoreResult {
  const { redact } = access.log;
  const { failed, removed, withheld, alreadyRight } = written;
  const files = filesOf(written.nodes);
  const wasWritten = new Set(files.map(({ path }) => path));
  const differing = (verification?.differing ?? []).filter(({ path }) => !failed.has(path));
  // What was to be written and was not, since its place is protected and it looked the same, was asked for all the
  // same.
  const wrong = differing.filter(({ path }) => wasWritten.has(path) || withheld.has(path));
  const isTrusting = input.overwrite === "if-changed";
  const hidden = differing.filter(({ path, reason }) => isTrusting && !wasWritten.has(path) && reason === "content");
  const lines = [...failed].map(([path, reason]) => redact(`${path}: ${reason}`));
  for (const line of lines.slice(0, MOST_WARNINGS)) access.log.line(`not restored: ${line}`);
  const warnings = [
    ...lines,
    ...wrong.map(({ path, reason }) => `${path}: differs from the snapshot after the restore (${reason})`),
    ...(hidden.length === 0
      ? []
      : [`${hidden.length} files were left as they are, and hold something else than in the snapshot`]),
    ...(removed === null && input.delete
      ? ["what the snapshot does not hold was left where it is, for something was not restored"]
      : []),
  ];
  const done = files.filter(({ path }) => !failed.has(path) && !alreadyRight.has(path));
  const lost = files.filter(({ path }) => failed.has(path)).length;
  const directories = written.nodes.filter(({ path, type }) => type === "dir" && failed.has(path)).length;
  const faults = { lost, of: files.length, directories, others: failed.size - lost - directories, wrong: wrong.length };
  if (alreadyRight.size > 0) {
    access.log.line(`${alreadyRight.size} files can't be written, and are as in the snapshot already`);
  }
  return {
    warnings: shortened(warnings),
    failure:
      written.failure ??
      (failed.size + wrong.length === 0 ? null : runFailure("restore.incomplete", describeFaults(faults))),
    stats: {
      filesRestored: done.length,
      bytesRestored: bytesOf(done),
      filesSkipped: plan.skipped + alreadyRight.size,
      filesDeleted: removed?.length ?? 0,
      ...(verification === null
        ? {}
        : { filesMatching: verification.matching, filesDiffering: verification.differing.length }),
    },
    items: [
      ...[...failed].map(([path, reason]): RestoredItem => item(path, "failed", redact(reason))),
      ...differing.map(({ path, reason }) => item(path, "differs", reason)),
    ],
  };
}

export function filesOf(nodes: readonly SnapshotNode[]): SnapshotNode[] {
  return nodes.filter(({ type }) => type !== "dir");
}

/** Total size of files, as in the snapshot. */
export function bytesOf(nodes: readonly SnapshotNode[]): number {
  return nodes.reduce((sum, { type, size }) => sum + (type === "file" ? (size ?? 0) : 0), 0);
}

function item(path: string, action: "failed" | "differs", reason: string): RestoredItem {
  return { path, action, reason: reason.slice(0, MAX_WARNING_CHARACTERS) };
}

/** `others`: what is no part of the selection, such as what was to be deleted. */
interface Faults {
  readonly lost: number;
  /** How many files were to be restored. */
  readonly of: number;
  readonly directories: number;
  readonly others: number;
  readonly wrong: number;
}

/** Files are counted without directories, also in all the counts of a restore. */
function describeFaults({ lost, of, directories, others, wrong }: Faults): string {
  const missed = [
    ...(lost === 0 ? [] : [`${lost} of ${counted(of, "file", "files")}`]),
    ...(directories === 0 ? [] : [counted(directories, "directory", "directories")]),
    ...(others === 0 ? [] : [counted(others, "other entry", "other entries")]),
  ];
  const total = lost + directories + others;
  return [
    ...(total === 0 ? [] : [`${missed.join(" and ")} ${total === 1 ? "was" : "were"} not restored`]),
    ...(wrong === 0 ? [] : [`${counted(wrong, "file is", "files are")} not as in the snapshot afterwards`]),
  ].join(", ");
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

function shortened(warnings: readonly string[]): string[] {
  const cut = warnings.map((warning) => warning.slice(0, MAX_WARNING_CHARACTERS));
  if (cut.length <= MOST_WARNINGS) return cut;
  return [...cut.slice(0, MOST_WARNINGS - 1), `and ${cut.length - MOST_WARNINGS + 1} more`];
}
