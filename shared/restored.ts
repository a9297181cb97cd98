import type { Run } from "./run.ts";

/** How many entries a person is shown; the report has more of them. */
const MOST_SHOWN = 200;

/** What a restore did, or would do, in lines for a person. Nothing for a run that says nothing of it. */
export function restoredLines(
  { stats, items }: Pick<Run, "stats" | "items">,
  { dryRun }: { readonly dryRun: boolean },
): string[] {
  const shown = (items ?? []).slice(0, MOST_SHOWN);
  const more = (items ?? []).length - shown.length;
  return [
    ...shown.map(({ path, action, reason }) => printable(`${action} ${path}${reason === undefined ? "" : `: ${reason}`}`)),
    ...(more > 0 ? [`and ${more} more`] : []),
    ...countLines(stats, dryRun),
  ];
}

function countLines(stats: Run["stats"], dryRun: boolean): string[] {
  if (stats?.filesRestored === undefined) return [];
  const { filesRestored, bytesRestored = 0, filesSkipped = 0, filesDeleted = 0 } = stats;
  const counts = [
    `${dryRun ? "would restore" : "restored"} ${filesRestored} files (${bytesRestored} bytes)`,
    ...(filesSkipped === 0 ? [] : [`${filesSkipped} left as they are`]),
    ...(filesDeleted === 0 ? [] : [`${filesDeleted} ${dryRun ? "to delete" : "deleted"}`]),
  ];
  const { filesMatching, filesDiffering = 0 } = stats;
  if (filesMatching === undefined) return [counts.join(", ")];
  return [counts.join(", "), `compared with the snapshot: ${filesMatching} match, ${filesDiffering} differ`];
}

/** A name may hold anything, a terminal's own codes too. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => JSON.stringify(character).slice(1, -1));
}
