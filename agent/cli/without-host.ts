import { mkdir, realpath } from "node:fs/promises";
import { Performance } from "../../shared/binding.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { secretValues } from "../policy/secrets.ts";
import { providerOf } from "../providers/engines.ts";
import type { Access, OpenRepository } from "../providers/provider.ts";
import { restoreFiles } from "../restore/files.ts";
import type { RestoreResult } from "../restore/request.ts";
import { ENGINE_TIMEOUTS } from "../run/access.ts";
import { RunError } from "../run-error.ts";
import { openRunLog } from "../run-log.ts";
import { ENGINE_LADDER } from "../system/process/kill-ladder.ts";
import { ownUser } from "../system/process/user.ts";
import type { CliDeps } from "./deps.ts";

interface OpenedRepository {
  readonly access: Access;
  readonly repository: OpenRepository;
}

/**
 * Opens a repository for root at the terminal, on a machine that need not be a host: there is no assignment, and so
 * nothing to grant. Never creates one. Throws RunError.
 */
export async function openWithoutHost(
  deps: CliDeps,
  given: Pick<Access, "repository" | "scope" | "secrets" | "signal">,
): Promise<OpenedRepository> {
  const log = openRunLog(deps.clock);
  log.hide(secretValues(given.secrets));
  const { repository, scope, secrets, signal } = given;
  const access: Access = {
    repository,
    scope,
    secrets,
    signal,
    log,
    paths: deps.paths,
    clock: deps.clock,
    run: uuidv7(deps.clock.now(), deps.random(10)),
    user: ownUser(),
    backupUser: null,
    onChild: async () => undefined,
    ladder: ENGINE_LADDER,
    timeouts: ENGINE_TIMEOUTS,
    limits: { uploadKiBs: null, downloadKiBs: null },
    performance: Performance.parse({}),
  };
  return { access, repository: await providerOf(repository).open(access, { mayCreate: false }) };
}

/**
 * Restores a snapshot, or some of its paths, into a directory that is made for it, and compares it. Logs warnings.
 * @param input `isNamed`: whether root named the directory, so that it may be a protected place
 * @returns the restore's result, and the directory with symbolic links resolved. Throws RunError for a failure
 */
export async function restoreInto(
  deps: Pick<CliDeps, "log">,
  { access, repository }: OpenedRepository,
  input: { readonly snapshot: string; readonly target: string; readonly include: string[]; readonly isNamed: boolean },
): Promise<RestoreResult & { readonly into: string }> {
  await mkdir(input.target, { recursive: true, mode: 0o700 });
  const into = await realpath(input.target);
  const result = await restoreFiles(repository, access, {
    aside: null,
    isTargetClosed: true,
    named: input.isNamed ? [into] : [],
    snapshot: input.snapshot,
    target: into,
    include: input.include,
    excludes: [],
    overwrite: "always",
    delete: false,
    dryRun: false,
    verify: true,
    beforeWriting: async () => undefined,
    onProgress: () => undefined,
  });
  for (const warning of result.warnings) deps.log(warning);
  if (result.failure !== null) throw new RunError(result.failure);
  return { ...result, into };
}
