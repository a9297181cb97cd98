import type { RunFailure } from "../../shared/failure.ts";
import { CHILD_PATH, findExecutable } from "../system/executables.ts";
import { DUMP_PHASE_ENV, terminateByEnvironment } from "../system/process/orphans.ts";
import { type ProcessResult, userSwitch } from "../system/process/process.ts";
import type { RunUser } from "../system/process/user.ts";
import { runError, runFailure } from "../run-error.ts";
import type { Access, LoadResult } from "./provider.ts";

/*
 * A dump goes through a pipe between script and engine; the agent is not part of it. So killing the agent can't produce
 * a truncated dump that looks complete. When the writer fails, it keeps the pipe open and stops the reader first. The
 * writer must also survive writing to a dead agent's pipe: hence the traps of PIPE.
 */

/** The descriptor where the engine finds the script's text; the passphrase is at 3. */
const SCRIPT_FD = 4;
/**
 * The descriptor of the status file, for the script's result. Not stderr: restic may pass that on without its last
 * lines (tried with 0.19.1: 1 in 10 under load).
 */
const STATUS_FD = 5;
const EMPTY = 65;
const SCRIPT_PREFIX = "holdfast-script: ";
const READ_PREFIX = "holdfast-dump-read: ";

/** Runs in a bash of its own: neither the script nor the engine's environment is visible in its argv or env. */
const RUN = `IFS= read -r -d '' script <&${SCRIPT_FD}; exec ${SCRIPT_FD}<&-; set -euo pipefail; eval "$script"`;

const HOLD = "hold() { trap : TERM INT HUP PIPE; while :; do sleep 3600; done; }";

/** Runs the script, passes on its output unless that is empty, and reports how both ended. */
const DUMP = `
say() {
  while IFS= read -r line || [ -n "$line" ]; do
    printf '${SCRIPT_PREFIX}%s\\n' "$line" >&2
    [ -z "$line" ] || last=$line
  done
  printf 'said %s\\n' "\${last-}" >&6
}
pass_on() {
  first=$(dd bs=1 count=1 2>/dev/null | od -An -tx1 | tr -d ' \\n')
  [ -n "$first" ] || exit ${EMPTY}
  printf "\\\\x$first" && exec cat
}
dump() {
  exec 3<&- ${SCRIPT_FD}<"$1" 6>>"$2"
  exec 5> >(say)
  words=$!
  env -i "\${@:3}" "$BASH" -c ${quoted(RUN)} </dev/null 2>&5 5>&- 6>&- | pass_on 5>&- 6>&- ${SCRIPT_FD}<&-
  ended=("\${PIPESTATUS[@]}")
  exec 5>&-
  wait "$words"
  printf 'ended %s %s\\n' "\${ended[@]}" >&6
  [ "\${ended[*]}" = "0 0" ]
}`;

/** @throws `dump.failed` when the host has no bash */
export async function requireBash(path: string = CHILD_PATH): Promise<string> {
  const bash = await findExecutable("bash", path);
  if (bash !== null) return bash;
  throw runError(
    "dump.failed",
    "bash is not installed on this host, and a contract's commands are run by it",
    "Install bash on the host (Debian: apt install bash), then run again.",
  );
}

/**
 * The command an engine starts itself and reads from; the engine must store nothing when it exits with anything but 0.
 * The text is opened through the engine's own descriptor: some engines pass none on.
 */
export function dumpCommand(bash: string, access: Access): string[] {
  const environment = [...scriptEnvironment(access, access.user), DUMP_PHASE_ENV];
  return [
    bash,
    "-c",
    `${DUMP}\ndump "/proc/$PPID/fd/${SCRIPT_FD}" "/proc/$PPID/fd/${STATUS_FD}" "$@"`,
    "holdfast",
    ...environment,
  ];
}

/**
 * For an engine that reads its stdin to the end. When the dump fails, the engine is interrupted while its input is
 * still open.
 */
export function dumpPipeCommand(bash: string, access: Access, engine: readonly string[]): string[] {
  const environment = [...scriptEnvironment(access, access.user), DUMP_PHASE_ENV];
  const script = `${HOLD}${DUMP}
feed() {
  trap : TERM INT HUP PIPE
  dump /dev/fd/${SCRIPT_FD} /dev/fd/${STATUS_FD} "$@" && exit
  kill -INT $$
  sleep 60
  kill -KILL $$
  hold
}
exec "\${@:${environment.length + 1}}" < <(feed "\${@:1:${environment.length}}")`;
  return [bash, "-c", script, "holdfast", ...environment, ...engine];
}

/**
 * A script that reads the engine's output. When the engine fails, the script is stopped while its input is still open.
 */
export function loadPipeCommand(
  bash: string,
  access: Access,
  load: { user: RunUser; engine: readonly string[] },
): string[] {
  const script = [...userSwitch(load.user), "env", "-i", ...scriptEnvironment(access, load.user), bash, "-c", RUN];
  const lines = `${HOLD}
feed() {
  trap : TERM INT HUP PIPE
  "$@" </dev/null
  ended=$?
  printf '\\n${READ_PREFIX}%s\\n' "$ended" >&2
  [ "$ended" = 0 ] && exit
  kill -TERM $$
  hold
}
exec ${SCRIPT_FD}</dev/fd/${SCRIPT_FD}
exec "\${@:1:${script.length}}" < <(feed "\${@:${script.length + 1}}") 3<&- 5<&- 2>&1`;
  return [bash, "-c", lines, "holdfast", ...script, ...load.engine];
}

/** Terminates a dump's script when the run is cancelled: an engine may wait for it before it stops itself. */
export async function withDumpTermination<T>({ run, signal }: Access, work: () => Promise<T>): Promise<T> {
  const end = (): void => void terminateByEnvironment([`HOLDFAST_RUN=${run}`, DUMP_PHASE_ENV]);
  signal.addEventListener("abort", end, { once: true });
  try {
    return await work();
  } finally {
    signal.removeEventListener("abort", end);
  }
}

function scriptEnvironment({ run }: Access, user: RunUser): string[] {
  return [`PATH=${CHILD_PATH}`, `HOME=${user.home}`, `USER=${user.name}`, "LANG=C.UTF-8", `HOLDFAST_RUN=${run}`];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Output of a dump's script: lines from the engine's stderr, and its exit status from the status file. */
export interface DumpOutput {
  /** @returns false when the line is the engine's own */
  add(line: string): boolean;
  /** @param note the text of the status file */
  readStatus(note: string): void;
  /** Why nothing was stored, if the script is the cause. */
  failure(): RunFailure | null;
  /** Why the snapshot must not count; null when the script succeeded and all of its output was passed on. */
  fault(): RunFailure | null;
}

export function openDumpOutput(log: Access["log"]): DumpOutput {
  let last = "";
  let statuses: [number, number] | null = null;
  const failure = (): RunFailure | null => {
    const [script = null, passing = null] = statuses ?? [];
    if (script === null || (script === 0 && passing !== EMPTY)) return null;
    if (script === 0) return runFailure("source.empty", "the command wrote nothing, so nothing was stored");
    // The reader cut it off: the reader has failed, not the script.
    if (script === 141 || (passing !== 0 && passing !== EMPTY)) return null;
    const detail = log.redact(last).slice(0, 500);
    return runFailure("dump.failed", `the command exited with ${script}${detail === "" ? "" : `: ${detail}`}`);
  };
  return {
    add(line) {
      // restic puts the program's name before each line.
      const [, text] = /^(?:subprocess [^:]+: )?holdfast-script: (.*)$/.exec(line) ?? [];
      if (text === undefined) return false;
      if (text.trim() !== "") last = text;
      log.line(`  ${text}`);
      return true;
    },
    readStatus(note) {
      const [, lastLine = ""] = /^said (.*)$/m.exec(note) ?? [];
      const [, script, passing] = /^ended (\d+) (\d+)$/m.exec(note) ?? [];
      if (lastLine.trim() !== "" && lastLine !== last) log.line(`  ${lastLine}`);
      if (lastLine.trim() !== "") last = lastLine;
      if (script !== undefined && passing !== undefined) statuses = [Number(script), Number(passing)];
    },
    failure,
    fault() {
      if (statuses?.join(" ") === "0 0") return null;
      return failure() ?? runFailure("dump.failed", "the command was ended before it had written everything");
    },
  };
}

/** The engine's result with only its own output. */
export function engineOutputOnly(ended: ProcessResult): ProcessResult {
  const lines = ended.stderr.split("\n").filter((line) => !/^(subprocess [^:]+: )?holdfast-(script|dump)/.test(line));
  return { ...ended, stderr: lines.join("\n") };
}

/** Output of a load, apart from the script's exit status. */
export interface LoadOutput {
  /** Adds a line of the script's output. */
  addScriptLine(line: string): void;
  /** @returns false when the line of stderr is the engine's own */
  add(line: string): boolean;
  /** Whether the engine has read everything. */
  readonly wasReadWhole: () => boolean;
  /** Whether the engine failed by itself, and not because the script stopped reading. */
  readonly hasEngineFailed: () => boolean;
  readonly last: () => string;
  /** The first error that the script printed, and how many there were. */
  readonly errors: () => { readonly first: string; readonly count: number };
}

/** How psql and mariadb begin an error; psql goes on after one unless it has ON_ERROR_STOP. */
const SQL_ERROR = /^(?:psql:\S+:\d+: )?(?:(?:ERROR|FATAL|PANIC): |ERROR \d+ \()/;
/** What every dump of pg_dumpall brings about in a server that has its roles: each is altered to what it was. */
const HARMLESS = /ERROR: +(?:current user cannot be dropped|role ".*" already exists)$/;

export function openLoadOutput(): LoadOutput {
  let status: number | null = null;
  let isCutOff = false;
  let last = "";
  let errors = { first: "", count: 0 };
  return {
    addScriptLine(line) {
      if (line.trim() !== "") last = line;
      if (!SQL_ERROR.test(line) || HARMLESS.test(line)) return;
      errors = { first: errors.count === 0 ? line : errors.first, count: errors.count + 1 };
    },
    add(line) {
      if (/broken pipe/i.test(line)) isCutOff = true;
      if (!line.startsWith(READ_PREFIX)) return line === "";
      status = Number(line.slice(READ_PREFIX.length));
      return true;
    },
    wasReadWhole: () => status === 0,
    hasEngineFailed: () => status !== null && status !== 0 && status < 128 && !isCutOff,
    last: () => last,
    errors: () => errors,
  };
}

/**
 * How a load ended.
 * @param engineFailure builds the failure from the engine's output, when the engine is the cause
 */
export function loadResult(
  ended: ProcessResult,
  output: LoadOutput,
  by: { engineFailure: () => RunFailure; redact: Access["log"]["redact"] },
): LoadResult {
  const failure = loadFailure(ended, output, by);
  const { first, count } = output.errors();
  if (failure !== null || count === 0) return { failure, warnings: [] };
  const more = count === 1 ? "" : ` (and ${count - 1} more; the run's log has all)`;
  const what = by.redact(first).slice(0, 500);
  return { failure, warnings: [`restoreCmd succeeded, but printed an error: ${what}${more}`] };
}

/** Why it failed; null when it succeeded. */
function loadFailure(
  { exitCode, signal, startFailure }: ProcessResult,
  output: LoadOutput,
  { engineFailure, redact }: { engineFailure: () => RunFailure; redact: Access["log"]["redact"] },
): RunFailure | null {
  if (startFailure !== null) return runFailure("database.failed", `the command could not be started: ${startFailure}`);
  if (output.hasEngineFailed()) return engineFailure();
  const last = redact(output.last()).slice(0, 500);
  const detail = last === "" ? "" : `: ${last}`;
  if (exitCode !== 0)
    return runFailure(
      "database.failed",
      `the command ${signal === null ? `exited with ${exitCode}` : `was ended by ${signal}`}${detail}`,
    );
  // The command stopped reading early: nothing shows whether the restore is complete.
  if (!output.wasReadWhole())
    return runFailure("database.failed", `the command ended before it had read the whole dump${detail}`);
  return null;
}
