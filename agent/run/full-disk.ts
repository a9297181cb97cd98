import type { AssignedRepository } from "../../shared/assignment.ts";
import type { RunFailure } from "../../shared/failure.ts";
import { isLocalLocation } from "../../shared/location.ts";
import type { Paths } from "../config.ts";
import { describeLowSpace } from "../state/troubles.ts";
import { runFailure } from "../run-error.ts";

/** Engines report "no space left" but seldom where: checks the disk of their cache before the repository is blamed. */
export async function attributeFullDisk(
  failure: RunFailure,
  { paths, repository }: { paths: Pick<Paths, "cache">; repository: AssignedRepository | undefined },
): Promise<RunFailure> {
  if (failure.code !== "repository.full") return failure;
  const isFull = async (directory: string): Promise<boolean> =>
    await describeLowSpace(directory).then(
      (lack) => lack !== null,
      () => false,
    );
  const isNamed = failure.message.includes(`${paths.cache}/`);
  if (!isNamed && !(await isFull(paths.cache))) return failure;
  const isLocal = repository !== undefined && isLocalLocation(repository.location);
  if (!isNamed && isLocal && (await isFull(repository.location))) return failure;
  return runFailure(
    "host.failed",
    `the disk of ${paths.cache} is full, where the tool keeps its cache and temporary files: ${failure.message}`,
    "Free some space on that disk, then run again.",
  );
}
