import { isLocalLocation } from "../../../shared/location.ts";
import { CHILD_PATH } from "../../system/executables.ts";
import { runError } from "../../run-error.ts";
import { engineCalls, type EngineCalls } from "../engine-calls.ts";
import type { Access } from "../provider.ts";
import type { Borg } from "./version.ts";
import { sshConfig } from "../ssh.ts";
import { workDirectories, type WorkDirectories } from "../work-directories.ts";

/** One borg on one repository, for one run. */
export interface BorgRunner extends EngineCalls {
  readonly borg: Borg;
}

/** What a run answers where a person is asked: another repository may have been put in the place of ours. */
const ANSWERS = { BORG_RELOCATED_REPO_ACCESS_IS_OK: "no", BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: "no" };

/** Throws `host.failed` when the run's user has no place for what borg must keep between runs. */
export async function prepareBorg(borg: Borg, access: Access): Promise<BorgRunner> {
  const work = await workDirectories(access);
  if (work === null) {
    throw runError(
      "host.failed",
      `user ${access.user.name} can't get to ${access.paths.cache}, and borg can't work without its cache`,
      "Let that user walk through the directories above it (chmod o+x).",
    );
  }
  const config = await sshConfig(access);
  const env = {
    ...environment(access, work),
    // Borg takes it apart as a shell would.
    ...(config === null ? {} : { BORG_RSH: `ssh -F '${config}'` }),
  };
  return { borg, ...engineCalls(access, { path: borg.path, options: limits(access), env, unattendedEnv: ANSWERS }) };
}

/** The binding's limits as far as borg can keep them. What it can't is said, in the run's log. */
function limits({ limits: { uploadKiBs, downloadKiBs }, repository, log }: Access): string[] {
  if (downloadKiBs !== null) log.line("borg has no download limit: limitDownloadKiBs does nothing here");
  if (uploadKiBs === null) return [];
  if (isLocalLocation(repository.location)) {
    log.line("borg limits what it sends to a server only: limitUploadKiBs does nothing here");
  }
  return ["--upload-ratelimit", `${uploadKiBs}`];
}

/** Waits for a lock that another program holds: by itself borg waits a second. */
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
    // It writes local times without their zone.
    TZ: "UTC",
    HOLDFAST_RUN: run,
    TMPDIR: temporary,
    BORG_BASE_DIR: cache,
    BORG_REPO: repository.location,
    BORG_PASSPHRASE_FD: "3",
    BORG_EXIT_CODES: "modern",
    // By this a later borg knows that a dead one's lock is of this host, whatever the host's name and network are then.
    BORG_HOST_ID: scope.host,
  };
}
