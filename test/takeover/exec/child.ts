import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { CHILD_PATH } from "../../../agent/system/executables.ts";
import { parsePasswd } from "../../../agent/system/process/user.ts";
import { SecretName } from "../../../shared/secret-source.ts";
import type { Recorded } from "./recorder.ts";
import { exactly, id, judgeArguments, number, onServer, path, shown, sshFile, text, user } from "./shapes.ts";

const home = exactly("/[^\0\n]*");
/** What every child may have; a plain sh that starts it adds PWD, a bash some more. */
const plain: Readonly<Record<string, RegExp>> = {
  PATH: text,
  HOME: home,
  USER: user,
  LANG: exactly("C\\.UTF-8"),
  PWD: path,
};
const ofRun = { ...plain, HOLDFAST_RUN: id };
const underCache = exactly("/[^\0\n]*/var/cache/holdfast/(?:restic|borg)/[^\0\n]*");
const ENVIRONMENT: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  restic: {
    ...ofRun,
    TMPDIR: exactly(`/tmp|${underCache.source.slice(4, -2)}`),
    RESTIC_CACHE_DIR: underCache,
    RESTIC_PROGRESS_FPS: exactly("1"),
    RESTIC_PASSWORD_FILE: exactly("/dev/fd/3"),
    RESTIC_REPOSITORY: text,
    ...Object.fromEntries(SecretName.options.map((name) => [name, exactly("[^\0\r\n]+")])),
    // The file itself may be readable by the agent alone.
    GOOGLE_APPLICATION_CREDENTIALS: exactly("/dev/fd/[0-9]"),
    // The shell that joins a dump to the engine.
    SHLVL: number,
    _: path,
  },
  borg: {
    ...ofRun,
    TZ: exactly("UTC"),
    TMPDIR: underCache,
    BORG_BASE_DIR: underCache,
    BORG_REPO: text,
    BORG_PASSPHRASE_FD: exactly("3"),
    BORG_EXIT_CODES: exactly("modern"),
    BORG_HOST_ID: id,
    BORG_RSH: exactly(sshFile),
    BORG_RELOCATED_REPO_ACCESS_IS_OK: exactly("no"),
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: exactly("no"),
    SHLVL: number,
    _: path,
  },
  hook: {
    ...ofRun,
    HOLDFAST_BINDING: exactly("[a-z0-9][a-z0-9._-]{0,62}"),
    HOLDFAST_CONTRACT: exactly("[a-z0-9][a-z0-9._-]{0,62}"),
    HOLDFAST_PHASE: exactly("before|after|dump"),
    HOOK_SECRET: exactly("[^\0\r\n]+"),
    SHLVL: number,
    _: path,
  },
  tool: { ...ofRun, LOGNAME: user, HOLDFAST_PHASE: exactly("consistency") },
};

function judgeEnvironment(program: string, env: Recorded["env"]): string | null {
  const kind =
    program === "restic" || program === "borg"
      ? program
      : program in onServer || ["systemctl", "docker", "podman"].includes(program)
        ? "tool"
        : "hook";
  const allowed = ENVIRONMENT[kind] ?? {};
  for (const [name, value] of env) {
    const wanted = Object.hasOwn(allowed, name) ? allowed[name] : undefined;
    if (wanted === undefined) return `variable ${shown(name)}`;
    if (!wanted.test(value)) return `variable ${name} ${shown(value)}`;
  }
  const isOwnPath = kind === "tool" || env.get("PATH") === CHILD_PATH;
  return isOwnPath ? null : `PATH ${env.get("PATH")}`;
}

/** Nothing of the agent's may stay open in a child: no key, no state, no socket of another. */
function judgeDescriptors({ descriptors }: Recorded): string | null {
  inherited ??= inheritedNow();
  for (const [fd, to] of descriptors) {
    const isOutput = fd <= 2 && /^(?:pipe:|socket:|\/dev\/null$)/.test(to);
    const isStaged = fd <= 1 && /\/var\/cache\/holdfast\/staging\//.test(to);
    const isText = fd >= 3 && /\/\.holdfast-[0-9a-f]{24} \(deleted\)$/.test(to);
    // The script that sh reads; and in a dump, the pipe to the command's words.
    const isScript = fd >= 3 && /\/(?:programs|hooks\.d)\/[^/]+$/.test(to);
    // A bash that joins two programs leaves the end of the pipe that is their stdin.
    const isFed = fd === 63 && to.startsWith("pipe:") && to === descriptors.get(0);
    if (!isOutput && !isFed && !isStaged && !isText && !isScript && !inherited.has(to))
      return `descriptor ${fd} → ${to}`;
  }
  return null;
}

let known: ReturnType<typeof parsePasswd> | null = null;

function accounts(): ReturnType<typeof parsePasswd> {
  known ??= parsePasswd(readFileSync("/etc/passwd", "utf8").split("\n"));
  return known;
}

let inherited: Set<string> | null = null;

/** What whoever started the tests left open for every child of theirs: not the agent's doing. */
function inheritedNow(): Set<string> {
  const isLeft = (fd: string): boolean => {
    const flags = /^flags:\s+([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "0";
    return (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0;
  };
  const found = new Set<string>();
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (Number(fd) > 2 && isLeft(fd)) found.add(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      // It was open for this very look.
    }
  }
  return found;
}

const CLOSE_ON_EXEC = 0o2000000;

/** @returns what of a child is not on the list; null when all is */
export function judge(child: Recorded): string | null {
  const { program, argv, env, uid, umask, cwd } = child;
  const isEngine = program === "restic" || program === "borg";
  if (isEngine && umask !== "0077") return `umask ${umask}`;
  if (cwd !== "/" && !(program === "borg" && argv.includes("extract"))) return `working directory ${cwd}`;
  // Whoever its environment names is who it runs as.
  const account = accounts().find(({ name }) => name === env.get("USER"));
  if (env.has("USER") && account?.uid !== uid) return `user ${uid} as ${env.get("USER")}`;
  return judgeArguments(program, argv) ?? judgeEnvironment(program, env) ?? judgeDescriptors(child);
}
