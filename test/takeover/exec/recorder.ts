import { chmod, mkdir, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** What one real child process was started with, as it found it itself in /proc. */
export interface Recorded {
  /** Its name, such as `restic`. */
  readonly program: string;
  /** Without the program. */
  readonly argv: readonly string[];
  readonly env: ReadonlyMap<string, string>;
  readonly uid: number;
  /** What each of its descriptors leads to. */
  readonly descriptors: ReadonlyMap<number, string>;
  readonly umask: string;
  readonly cwd: string;
  /** What it finds as /dev/fd/4; null when there is nothing. */
  readonly text: string | null;
}

/** Programs in the place of the real ones. */
export interface Recorder {
  /** First in the agent's PATH. */
  readonly directory: string;
  /** Says what a program answers: see `answers` in the script. */
  answer(name: string, text: string): Promise<void>;
  /** Puts the recorder somewhere else, as a hook for example. */
  install(path: string): Promise<void>;
  /** Everything since the last call. */
  taken(): Promise<Recorded[]>;
}

/** The names of all programs that the agent looks up in its PATH, and both engines. */
const PROGRAMS = [
  "restic",
  "borg",
  "systemctl",
  "docker",
  "podman",
  "psql",
  "pg_dump",
  "pg_dumpall",
  "pg_restore",
  "createdb",
  "mariadb",
  "mariadb-dump",
  "mysql",
  "mysqldump",
];

/**
 * Behaves just enough like each tool for a run to get to its next command. Written for a plain sh: it is started some
 * hundred thousand times.
 */
const SCRIPT = `#!/bin/sh
d=DIRECTORY
r=$d/records/$$
mkdir "$r" && cp -rP /proc/$$/cmdline /proc/$$/environ /proc/$$/status /proc/$$/fd /proc/$$/cwd "$r/"
[ ! -e /proc/$$/fd/4 ] || cp /proc/$$/fd/4 "$r/text"
answer() { [ ! -e "$d/answers/$1" ] || while IFS= read -r line; do printf '%s\\n' "$line"; done <"$d/answers/$1"; }
command=
for word; do
  case "$word" in
    version | --version | cat | init | snapshots | backup | forget | prune | check | ls | restore | dump | list | create | delete | compact | extract)
      command=$word
      break
      ;;
  esac
done
# The command that an engine starts itself, and reads.
start() {
  while [ $# -gt 0 ] && [ "$1" != "--" ]; do shift; done
  [ $# -lt 2 ] || { shift; "$@" >/dev/null; }
}
case "\${0##*/}" in
  restic)
    case "$command" in
      backup)
        : >"$d/state/made"
        case " $* " in
          *" --stdin-from-command "*) start "$@" ;;
          *" --stdin "*) cat >/dev/null ;;
        esac
        answer restic-backup
        ;;
      snapshots) if [ -e "$d/state/made" ]; then answer restic-after; else answer restic-before; fi ;;
      *) answer "restic-$command" ;;
    esac
    ;;
  borg)
    case "$command" in
      create)
        for word; do
          case "$word" in
            --) break ;;
            ::*) printf '%s\\n' "\${word#::}" >"$d/state/made" ;;
          esac
        done
        case " $* " in *" --content-from-command "*) start "$@" ;; esac
        answer borg-create
        ;;
      list)
        case " $* " in
          *" --json-lines "*) answer borg-nodes ;;
          *)
            answer borg-list-begin
            if [ -e "$d/state/made" ]; then
              read -r name <"$d/state/made"
              printf ',{"id":"%064d","name":"%s","start":"2026-11-23T08:00:00.000000"}' 9 "$name"
            fi
            printf ']}\\n'
            ;;
        esac
        ;;
      *) answer "borg-$command" ;;
    esac
    ;;
  systemctl) [ "$1" != show ] || printf 'LoadState=loaded\\nActiveState=active\\n' ;;
  docker)
    case "$1" in
      container) echo running ;;
      exec) echo one ;;
    esac
    ;;
  psql | mariadb) echo one ;;
  *) echo done ;;
esac
`;

/** @param root a directory of the test's own, that every user may pass through */
export async function openRecorder(root: string): Promise<Recorder> {
  const [directory, records, state, answers] = ["programs", "records", "state", "answers"].map((name) =>
    join(root, name),
  ) as [string, string, string, string];
  for (const made of [directory, records, state, answers]) await mkdir(made, { recursive: true });
  // Children of other users write here too.
  for (const open of [records, state]) await chmod(open, 0o777);
  const install = async (path: string): Promise<void> => {
    await writeFile(path, SCRIPT.replace("DIRECTORY", root));
    await chmod(path, 0o755);
  };
  for (const program of PROGRAMS) await install(join(directory, program));
  return {
    directory,
    install,
    answer: (name, text) => writeFile(join(answers, name), text.endsWith("\n") ? text : `${text}\n`),
    async taken() {
      const names = await readdir(records);
      const found = await Promise.all(
        // Who was killed while it wrote has told nothing.
        names.map((name) => read(join(records, name)).catch(() => null)),
      );
      await Promise.all([
        ...names.map((name) => rm(join(records, name), { recursive: true, force: true })),
        rm(join(state, "made"), { force: true }),
      ]);
      return found.filter((one) => one !== null);
    },
  };
}

async function read(record: string): Promise<Recorded | null> {
  const [cmdline, environ, status, cwd, text] = await Promise.all([
    readFile(join(record, "cmdline"), "utf8"),
    readFile(join(record, "environ"), "utf8"),
    readFile(join(record, "status"), "utf8"),
    readlink(join(record, "cwd")),
    readFile(join(record, "text"), "utf8").catch(() => null),
  ]);
  const descriptors = await readdir(join(record, "fd"));
  // sh, the script, and what it was given.
  const [, script = "", ...argv] = cmdline.split("\0").slice(0, -1);
  const field = (name: string): string => new RegExp(`^${name}:\\s+(\\S+)`, "m").exec(status)?.[1] ?? "";
  return {
    program: script.slice(script.lastIndexOf("/") + 1),
    argv,
    env: new Map(
      environ
        .split("\0")
        .slice(0, -1)
        .map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]),
    ),
    uid: Number(field("Uid")),
    umask: field("Umask"),
    cwd,
    descriptors: new Map(
      await Promise.all(descriptors.map(async (fd) => [Number(fd), await readlink(join(record, "fd", fd))] as const)),
    ),
    text,
  };
}
