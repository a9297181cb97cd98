import { chmod, chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { CHILD_PATH } from "../process-path.ts";
import { HOOK_LADDER } from "../process-ladder.ts";
import { type Command, type Ended, runInherited, runProcess } from "../process.ts";
import type { Access } from "./provider.ts";
import type { Restic } from "./restic-version.ts";

export interface ResticCall {
  readonly args: readonly string[];
  /** Texts it finds as /dev/fd/4, /dev/fd/5 …; the passphrase is 3. */
  readonly files?: readonly string[];
  readonly timeLimitMs?: number;
  /** It looks for the truth of a run, also after that was stopped. */
  readonly isAfterwards?: boolean;
  /** Its whole answer may be one line. */
  readonly isOneLine?: boolean;
  readonly onStdout?: (line: string) => void;
  readonly onStderr?: (line: string) => void;
}

const ONE_LINE_BYTES = 512 << 20;

/** One restic on one repository, for one run. */
export interface ResticRunner {
  readonly restic: Restic;
  readonly access: Access;
  /** Runs it to its end. Throws the signal's reason when the run was cancelled before it began. */
  call(call: ResticCall): Promise<Ended>;
  /** The same in the agent's terminal. @returns its exit code */
  callInherited(args: readonly string[]): Promise<number>;
}

/** Nothing secret and no location is ever in argv, where every user of the host can read it. */
export async function prepareRestic(restic: Restic, access: Access): Promise<ResticRunner> {
  const work = await workDirectories(access);
  const env = environment(restic, access, work);
  const options = [...transportOptions(restic, access), ...(work.cache === null ? ["--no-cache"] : [])];
  const command = ({ args, files = [] }: ResticCall): Command => ({
    program: restic.path,
    args: [...options, ...args],
    env,
    user: access.user,
    umask: "077",
    files: [`${access.secrets.passphrase}\n`, ...files],
    fileDirectory: access.paths.state,
  });
  return {
    restic,
    access,
    callInherited: (args) => runInherited(command({ args })),
    async call(call) {
      const { signal, ladder } = access;
      const { onStdout, onStderr, timeLimitMs, isAfterwards = false, isOneLine = false } = call;
      if (!isAfterwards) signal.throwIfAborted();
      return await runProcess(command(call), {
        ladder,
        onStart: access.onChild,
        ...(isAfterwards ? {} : { signal }),
        ...(isOneLine ? { maxStdoutLineBytes: ONE_LINE_BYTES } : {}),
        ...(onStdout === undefined ? {} : { onStdout }),
        ...(onStderr === undefined ? {} : { onStderr }),
        ...(timeLimitMs === undefined ? {} : { timeLimitMs }),
      });
    },
  };
}

function environment(
  restic: Restic,
  { user, secrets, repository, run }: Access,
  { cache, temporary }: WorkDirectories,
): Record<string, string> {
  const { RESTIC_REST_USERNAME: name, RESTIC_REST_PASSWORD: password, ...storage } = secrets.env;
  const isOldRest = !restic.isAtLeast("0.16.1") && repository.location.startsWith("rest:");
  return {
    PATH: CHILD_PATH,
    HOME: user.home,
    USER: user.name,
    LANG: "C.UTF-8",
    HOLDFAST_RUN: run,
    TMPDIR: temporary,
    ...(cache === null ? {} : { RESTIC_CACHE_DIR: cache }),
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

/** Before 0.16.1 restic takes the server's user and password from the address alone. */
function withCredentials(location: string, name: string | undefined, password: string | undefined): string {
  if (name === undefined) return location;
  const credentials = `${encodeURIComponent(name)}:${encodeURIComponent(password ?? "")}@`;
  return location.replace(/^(rest:https?:\/\/)/, (scheme) => scheme + credentials);
}

/** ssh must never ask anybody anything, and must notice when the other side is gone. */
function transportOptions(restic: Restic, { repository }: Access): string[] {
  if (!repository.location.startsWith("sftp:") || !restic.isAtLeast("0.16.1")) return [];
  const ssh = ["BatchMode=yes", "ConnectTimeout=20", "ServerAliveInterval=30", "ServerAliveCountMax=10"];
  return ["-o", `sftp.args=${ssh.map((option) => `-o ${option}`).join(" ")}`];
}

interface WorkDirectories {
  readonly cache: string | null;
  readonly temporary: string;
}

/** A cache and a place for temporary files of the user's own, on a disk: neither fits everybody's /tmp. */
async function workDirectories(access: Access): Promise<WorkDirectories> {
  const { paths, user, repository } = access;
  const cache = join(paths.cache, "restic", `${repository.id}-${user.uid}`);
  const temporary = join(cache, "tmp");
  await mkdir(join(paths.cache, "restic"), { recursive: true, mode: 0o711 });
  if (user.isAnother) {
    await chmod(paths.cache, 0o711);
    await chmod(join(paths.cache, "restic"), 0o711);
  }
  for (const directory of [cache, temporary]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    if (user.isAnother) await chown(directory, user.uid, user.gid);
  }
  if (!user.isAnother || (await canUse(access, temporary))) return { cache, temporary };
  access.log.line(`user ${user.name} can't get to ${cache}: working without a cache`);
  return { cache: null, temporary: "/tmp" };
}

async function canUse({ user, paths }: Access, directory: string): Promise<boolean> {
  const { exitCode } = await runProcess(
    {
      program: "/bin/sh",
      args: ["-c", 'test -w "$1" && test -x "$1"', "sh", directory],
      env: { PATH: CHILD_PATH },
      user,
      umask: "077",
      fileDirectory: paths.state,
    },
    { ladder: HOOK_LADDER, timeLimitMs: 30_000 },
  );
  return exitCode === 0;
}
