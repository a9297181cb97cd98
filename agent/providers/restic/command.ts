import { join } from "node:path";
import { passageAdvice } from "../../system/passage.ts";
import { engineCalls, type EngineCalls } from "../engine-calls.ts";
import { CHILD_PATH } from "../../system/executables.ts";
import { sshTarget } from "../../../shared/location.ts";
import type { Access } from "../provider.ts";
import type { Restic } from "./version.ts";
import { sshConfig } from "../ssh.ts";
import { unreachableCache, workDirectories, type WorkDirectories } from "../work-directories.ts";

/** Calls restic on one repository, for one run. */
export interface ResticRunner extends EngineCalls {
  readonly restic: Restic;
  /** Where it keeps its cache; null when it works without one. */
  readonly cache: string | null;
}

/** @throws `host.failed` when the run's user can't get to what ssh needs */
export async function prepareRestic(restic: Restic, access: Access): Promise<ResticRunner> {
  const work = await workDirectories(access);
  if (work === null && sshTarget(access.repository.location) !== null) {
    throw await unreachableCache(access, "ssh needs its configuration there");
  }
  if (work === null) {
    const advice = await passageAdvice(access.user, join(access.paths.cache, "restic"));
    access.log.line(`user ${access.user.name} can't get to its cache: working without one. ${advice}`);
  }
  const transport = await transportOptions(restic, access);
  const options = [...transport, ...limits(access), ...(work === null ? ["--no-cache"] : [])];
  const { GOOGLE_APPLICATION_CREDENTIALS: account } = access.secrets.env;
  // The file that it names may be readable by the agent alone.
  const envFiles = present({ GOOGLE_APPLICATION_CREDENTIALS: account });
  const env = environment(restic, access, work);
  const calls = engineCalls(access, { path: restic.path, options, env, envFiles });
  return { restic, cache: work?.cache ?? null, ...calls };
}

/** Apply to all network traffic of every command. */
function limits({ limits: { uploadKiBs, downloadKiBs } }: Access): string[] {
  return [
    ...(uploadKiBs === null ? [] : ["--limit-upload", `${uploadKiBs}`]),
    ...(downloadKiBs === null ? [] : ["--limit-download", `${downloadKiBs}`]),
  ];
}

function environment(
  restic: Restic,
  { user, secrets, repository, run }: Access,
  work: WorkDirectories | null,
): Record<string, string> {
  const {
    RESTIC_REST_USERNAME: name,
    RESTIC_REST_PASSWORD: password,
    GOOGLE_APPLICATION_CREDENTIALS: _file,
    ...storage
  } = secrets.env;
  const isOldRest = !restic.isAtLeast("0.16.1") && repository.location.startsWith("rest:");
  return {
    PATH: CHILD_PATH,
    HOME: user.home,
    USER: user.name,
    LANG: "C.UTF-8",
    HOLDFAST_RUN: run,
    TMPDIR: work?.temporary ?? "/tmp",
    ...(work === null ? {} : { RESTIC_CACHE_DIR: work.cache }),
    RESTIC_PROGRESS_FPS: "1",
    RESTIC_PASSWORD_FILE: "/dev/fd/3",
    RESTIC_REPOSITORY: isOldRest ? withCredentials(repository.location, name, password) : repository.location,
    ...storage,
    ...(isOldRest ? {} : present({ RESTIC_REST_USERNAME: name, RESTIC_REST_PASSWORD: password })),
  };
}

function present(variables: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(variables).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
}

/** Before 0.16.1, restic takes the server's user and password only from the address. */
function withCredentials(location: string, name: string | undefined, password: string | undefined): string {
  if (name === undefined) return location;
  const credentials = `${encodeURIComponent(name)}:${encodeURIComponent(password ?? "")}@`;
  return location.replace(/^(rest:https?:\/\/)/, (scheme) => scheme + credentials);
}

/** Options for ssh and certificates: files of the host, built from nothing that could be parsed as another option. */
async function transportOptions(restic: Restic, access: Access): Promise<string[]> {
  const { caFile, location } = access.repository;
  const certificates = caFile === null ? [] : ["--cacert", caFile];
  const config = await sshConfig(access);
  if (config === null) return certificates;
  if (restic.isAtLeast("0.16.1")) return [...certificates, "-o", `sftp.args=-F '${config}'`];
  // Before, restic takes the whole ssh command or none of it.
  const { user, host, port } = sshTarget(location) ?? { user: null, host: "", port: null };
  const whom = [...(port === null ? [] : ["-p", port]), ...(user === null ? [] : ["-l", user]), host];
  return [...certificates, "-o", `sftp.command=ssh -F '${config}' ${whom.join(" ")} -s sftp`];
}
