import { isExcluded } from "../../shared/pattern-dialects.ts";
import { ExcludePattern } from "../../shared/pattern.ts";
import { ASIDE_NAME } from "../restore/aside-record.ts";
import { runError } from "../run-error.ts";

/**
 * Rejects patterns that engines interpret differently, and those that exclude a whole source: restic before 0.19 and
 * borg then skip the source, restic since 0.19 keeps an empty directory. Each would be a backup of nothing.
 * @param sources as the engine gets them
 * @throws `engine.refused` or `source.empty`
 */
export function checkExcludes(sources: readonly string[], patterns: readonly string[]): void {
  for (const pattern of patterns) {
    const fault = ExcludePattern.safeParse(pattern).error?.issues[0]?.message;
    if (fault === undefined) continue;
    const message = `the exclude pattern ${JSON.stringify(pattern)} ${fault}`;
    throw runError(
      "engine.refused",
      message,
      "Change the pattern in the contract: docs/patterns.md says what there is.",
    );
  }
  for (const source of sources) {
    const pattern = patterns.find((one) => isExcluded(one, source));
    if (pattern === undefined) continue;
    throw runError(
      "source.empty",
      `the exclude pattern ${JSON.stringify(pattern)} leaves out the whole source ${source}`,
      "Write the pattern so that it begins below the source (SOURCE/**/NAME), or take the source out of the contract.",
    );
  }
}

/** The pattern of what restores keep for a time beside restored files: no snapshot needs what was replaced. */
export const ASIDE_PATTERN = `${ASIDE_NAME}*`;
