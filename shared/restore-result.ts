import type { RestoredItem, RunStats } from "./run.ts";

/** How many entries are printed; the report has more. */
const MAX_SHOWN = 200;

interface RestoreResult {
  readonly stats: RunStats | null;
  readonly items: readonly RestoredItem[] | null;
}

/** What a restore did, or would do, in lines for a person. Empty when the run has no such details. */
export function restoreResultLines({ stats, items }: RestoreResult): string[] {
  const shown = (items ?? []).slice(0, MAX_SHOWN);
  const more = (items ?? []).length - shown.length;
  return [
    ...shown.map(({ path, action, reason }) =>
      printable(`${action} ${path}${reason === undefined ? "" : `: ${reason}`}`),
    ),
    ...(more > 0 ? [`and ${more} more`] : []),
    ...(stats === null ? [] : [...countLines(stats), ...databaseLines(stats)]),
  ];
}

function countLines({ filesSkipped = 0, ...stats }: RunStats): string[] {
  const skipped = filesSkipped === 0 ? "" : `, ${filesSkipped} left as they are`;
  if (stats.filesToCreate !== undefined) {
    const { filesToCreate, filesToUpdate = 0, filesToDelete = 0, bytesToRestore = 0 } = stats;
    const counts = `${filesToCreate} to create, ${filesToUpdate} to update (${bytesToRestore} bytes), ${filesToDelete} to delete`;
    return [`nothing was changed: ${counts}${skipped}`];
  }
  if (stats.filesRestored === undefined) return [];
  const { filesRestored, bytesRestored = 0, filesDeleted = 0, filesMatching, filesDiffering = 0 } = stats;
  const deleted = filesDeleted === 0 ? "" : `, ${filesDeleted} deleted`;
  const restored = `restored ${filesRestored} files (${bytesRestored} bytes)${skipped}${deleted}`;
  const kept = (stats.keptAsideIn ?? []).map((place) => printable(`replaced files are kept in ${place}`));
  if (filesMatching === undefined) return [restored, ...kept];
  return [restored, ...kept, `compared with the snapshot: ${filesMatching} match, ${filesDiffering} differ`];
}

function databaseLines({ databasesRestored = 0, filesToCreate }: RunStats): string[] {
  if (databasesRestored === 0) return [];
  const databases = databasesRestored === 1 ? "1 database" : `${databasesRestored} databases`;
  return [filesToCreate === undefined ? `put back ${databases}` : `${databases} to put back`];
}

/** A name may contain anything, even terminal codes. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => JSON.stringify(character).slice(1, -1));
}
