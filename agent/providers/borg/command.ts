import { join } from "node:path";
import { isLocalLocation } from "../../../shared/location.ts";
import { CHILD_PATH } from "../../system/executables.ts";
import { engineCalls, type EngineCalls } from "../engine-calls.ts";
import type { Access } from "../provider.ts";
import type { Borg } from "./version.ts";
import { sshConfig } from "../ssh.ts";
import { servedByOwner } from "./owner.ts";
import { unreachableCache, workDirectories, type WorkDirectories } from "../work-directories.ts";

/** Calls borg on one repository, for one run. */
export interface BorgRunner extends EngineCalls {
  readonly borg: Borg;
}

/** Answers to borg's questions in unattended runs: the repository may have been replaced by another. */
const ANSWERS = { BORG_RELOCATED_REPO_ACCESS_IS_OK: "no", BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "no" };

/** @throws `host.failed` when the run's user has no directory for borg's cache */
export async function prepareBorg(borg: Borg, access: Access): Promise<BorgRunner> {
  const work = await workDirectories(access);
  if (work === null) throw await unreachableCache(access, "borg can't work without its cache");
  const config = await sshConfig(access);
  const served = await servedByOwner(borg.path, access);
  const env = {
    ...environment(access, work),
    // Borg splits it as a shell would.
    ...(config === null ? {} : { BORG_RSH: `ssh -F '${config}'` }),
    // To borg, it has another location then, which it remembers apart.
    ...(served === null ? {} : { ...served, BORG_BASE_DIR: join(work.cache, "served") }),
  };
  return { borg, ...engineCalls(access, { path: borg.path, options: limits(access), env, unattendedEnv: ANSWERS }) };
}

/** The binding's limits as far as borg supports them. Unsupported ones are named in the run's log. */
function limits({ limits: { uploadKiBs, downloadKiBs }, repository, log }: Access): string[] {
  if (downloadKiBs !== null) log.line("borg has no download limit: limitDownloadKiBs does nothing here");
  if (uploadKiBs === null) return [];
  if (isLocalLocation(repository.location)) {
    log.line("borg limits what it sends to a server only: limitUploadKiBs does nothing here");
  }
  return ["--upload-ratelimit", `${uploadKiBs}`];
}

/** Waits for a lock held by another program. Borg's default is one second. */
export function lockArgs({ access }: Pick<BorgRunner, "access">): string[] {
  return ["--lock-wait", `${Math.ceil(access.timeouts.lockMs / 1000)}`];
}

function environment(
  { user, repository, run, scope }: Access,
  { cache, temporary }: WorkDirectories,
): Record<string, string> {
  return {
    PATH: CHILD_PATH,
    HOME: user.home,
    USER: user.name,
    LANG: "C.UTF-8",
    // Borg writes local times without their zone.
    TZ: "UTC",
    HOLDFAST_RUN: run,
    TMPDIR: temporary,
    BORG_BASE_DIR: cache,
    BORG_REPO: repository.location,
    BORG_PASSPHRASE_FD: "3",
    BORG_EXIT_CODES: "modern",
    // With this id a later borg recognises a stale lock as this host's, even if the hostname or network has changed.
    BORG_HOST_ID: scope.host,
  };
}
