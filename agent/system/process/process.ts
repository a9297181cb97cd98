import type { FileHandle } from "node:fs/promises";
import { constants } from "node:os";
import type { Readable } from "node:stream";
import { execa } from "execa";
import type { Performance } from "../../../shared/binding.ts";
import { openUnlinkedFile } from "./unlinked-file.ts";
import { type KillLadder, runKillLadder, killGroup } from "./kill-ladder.ts";
import { lastLines, lineSplitter } from "./lines.ts";
import { ioPriorityCommand, setNiceness } from "./priority.ts";
import { processRefOf, type ProcessRef } from "./process-ref.ts";
import type { RunUser } from "./user.ts";

/** A program to run. It gets only what is given here of the agent's environment. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly user: RunUser;
  readonly umask: "022" | "077";
  /** CPU and I/O priority; the agent's own when not given. */
  readonly performance?: Performance;
  /** `/` when not given. */
  readonly cwd?: string;
  /** Texts the child finds as /dev/fd/3, /dev/fd/4 …, in unlinked files that only its user can open. */
  readonly files?: readonly string[];
  /** One more such file, empty, for the child to write to: its text is returned as `statusText`. */
  readonly hasStatusFile?: boolean;
  /** Texts like `files`, behind all of them. */
  readonly lastFiles?: readonly string[];
  /** Where these files are created on a host without a memory-backed directory. */
  readonly fileDirectory: string;
}

export interface ProcessOptions {
  readonly ladder: KillLadder;
  /** Aborting it starts the kill ladder. */
  readonly signal?: AbortSignal;
  readonly timeLimitMs?: number;
  /**
   * Called with the child before it does anything. It starts when this has resolved, and never if this process dies
   * before.
   */
  readonly beforeStart?: (child: ProcessRef) => Promise<void>;
  /** What it reads from stdin. When that fails, the child is stopped with its stdin still open. */
  readonly input?: Readable;
  readonly onStdout?: (line: string) => void;
  /** Gets stdout as it comes, instead of lines. */
  readonly onStdoutBytes?: (chunk: Uint8Array) => void;
  /** For a program that answers with one line; 1 MiB when not given. */
  readonly maxStdoutLineBytes?: number;
  readonly onStderr?: (line: string) => void;
}

export interface ProcessResult {
  /** Null when a signal ended it, or it never started. */
  readonly exitCode: number | null;
  /** Which process it was; null when it ended before it could be looked up, or never started. */
  readonly child: ProcessRef | null;
  readonly signal: string | null;
  readonly timedOut: boolean;
  readonly cancelled: boolean;
  /** The end of its stderr, at most 64 KiB. */
  readonly stderr: string;
  /** What it wrote into its status file, at most 64 KiB; "" when it had none. */
  readonly statusText: string;
  /** Why it never started; null when it did. */
  readonly startFailure: string | null;
}

const STDERR_BYTES = 65_536;
const STATUS_FILE_BYTES = 65_536;
/** How long output is still read from a process that outlived the whole group. */
const DRAIN_MS = 2_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Runs a child in its own session, with stdin closed or from `input`, until it ends, and then kills what it left in its
 * group.
 * @returns how it ended; never throws for what the child does
 */
export async function runProcess(command: Command, options: ProcessOptions): Promise<ProcessResult> {
  const { signal, timeLimitMs } = options;
  if (signal?.aborted === true) return { ...NEVER_STARTED, cancelled: true };
  const files: FileHandle[] = [];
  try {
    for (const text of textsOf(command)) {
      files.push(await openUnlinkedFile(text, command.user, command.fileDirectory));
    }
    const { input } = options;
    const stdin = input !== undefined ? "input" : options.beforeStart !== undefined ? "held" : "closed";
    const child = execa(...(await commandLine(command, stdin)), {
      env: command.env,
      extendEnv: false,
      cwd: command.cwd ?? "/",
      detached: true,
      cleanup: false,
      reject: false,
      buffer: false,
      stdio: [stdin === "closed" ? "ignore" : "pipe", "pipe", "pipe", ...files.map(inheritedFd)],
    });
    const ended = child.then((result) => result);
    const stderr = lastLines(STDERR_BYTES);
    const fromStdout = lineSplitter((line) => options.onStdout?.(line), options.maxStdoutLineBytes);
    const fromStderr = lineSplitter((line) => {
      stderr.push(line);
      options.onStderr?.(line);
    });
    const { onStdoutBytes } = options;
    if (onStdoutBytes === undefined) pipeLines(child.stdout, fromStdout);
    else child.stdout.on("data", onStdoutBytes);
    pipeLines(child.stderr, fromStderr);

    const { pid } = child;
    if (pid === undefined) {
      const { originalMessage } = await ended;
      return { ...NEVER_STARTED, startFailure: originalMessage ?? `${command.program} could not be started` };
    }
    if (command.performance !== undefined) setNiceness(pid, command.performance);
    const ref = processRefOf(pid);
    const exited = new Promise<void>((resolve) => child.nodeChildProcess.once("exit", () => resolve()));
    const leftoversKilled = exited.then(() => killLeftovers(pid, child));
    const stopped = stopOnSignalOrTimeout(pid, { ladder: options.ladder, exited, signal, timeLimitMs });
    if (ref !== null) await options.beforeStart?.(ref);
    // The child may have ended already, for example because setpriv does not know the user.
    child.stdin?.on("error", () => undefined);
    if (input === undefined) child.stdin?.end(GO);
    else {
      child.stdin?.write(GO);
      input.once("error", () => void runKillLadder(pid, options.ladder, exited));
      child.stdin?.once("close", () => input.destroy());
      if (child.stdin !== null) input.pipe(child.stdin);
    }
    const [result] = await Promise.all([ended, leftoversKilled]);
    const reason = stopped();
    return {
      child: ref,
      exitCode: result.exitCode ?? null,
      signal: result.signal ?? null,
      timedOut: reason === "time",
      cancelled: reason === "signal",
      stderr: stderr.text(),
      statusText: command.hasStatusFile === true ? await readStatusFile(files[command.files?.length ?? 0]) : "",
      startFailure: null,
    };
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

function textsOf({ files = [], hasStatusFile = false, lastFiles = [] }: Command): string[] {
  return [...files, ...(hasStatusFile ? [""] : []), ...lastFiles];
}

/**
 * Runs a child in the agent's own session with the terminal's stdin, stdout and stderr, for interactive use.
 * @returns its exit code; 128 plus the signal's number when a signal ended it, as in a shell
 */
export async function runInherited(command: Command): Promise<number> {
  const files: FileHandle[] = [];
  const ignore = (): void => undefined;
  // Ctrl-C reaches both processes: the child decides what it means.
  process.on("SIGINT", ignore);
  try {
    for (const text of textsOf(command)) {
      files.push(await openUnlinkedFile(text, command.user, command.fileDirectory));
    }
    const child = execa(...(await commandLine(command)), {
      env: command.env,
      extendEnv: false,
      reject: false,
      buffer: false,
      stdio: ["inherit", "inherit", "inherit", ...files.map(inheritedFd)],
    });
    if (child.pid !== undefined && command.performance !== undefined) setNiceness(child.pid, command.performance);
    const result = await child;
    if (result.exitCode !== undefined) return result.exitCode;
    return 128 + (result.signal === undefined ? 0 : constants.signals[result.signal]);
  } finally {
    process.off("SIGINT", ignore);
    await Promise.all(files.map((file) => file.close()));
  }
}

const NEVER_STARTED: ProcessResult = {
  child: null,
  exitCode: null,
  signal: null,
  timedOut: false,
  cancelled: false,
  stderr: "",
  statusText: "",
  startFailure: null,
};

/** A child with `beforeStart` or `input` waits for this line on stdin. */
const GO = "go\n";
const WAIT = {
  closed: "",
  held: "read -r go || exit 1; exec </dev/null; ",
  input: "read -r go || exit 1; ",
} as const;

/** spawn's own uid option drops the supplementary groups, and it has no umask: both are set by a wrapper that execs. */
async function commandLine(
  { program, args, user, umask, performance }: Command,
  stdin: keyof typeof WAIT = "closed",
): Promise<[string, string[]]> {
  const setPriority = performance === undefined ? "" : ioPriorityCommand(performance, await ownIoPriority());
  const waitForGo = WAIT[stdin];
  const shell = [
    "-c",
    `umask ${umask}; ${user.needsSwitch ? "" : setPriority}${waitForGo}exec "$@"`,
    "sh",
    program,
    ...args,
  ];
  if (!user.needsSwitch) return ["/bin/sh", shell];
  const switched = [...userSwitch(user), "/bin/sh", ...shell];
  const [first = "", ...rest] = switched;
  // Before switching the user: only root may raise the priority.
  return setPriority === "" ? [first, rest] : ["/bin/sh", ["-c", `${setPriority}exec "$@"`, "sh", ...switched]];
}

let ownPriority: Promise<string> | null = null;

/** As ionice shows it: asked once, since nothing changes it. */
async function ownIoPriority(): Promise<string> {
  ownPriority ??= execa("ionice", ["-p", `${process.pid}`], { reject: false, timeout: 10_000 }).then(({ stdout }) =>
    `${stdout ?? ""}`.trim(),
  );
  return await ownPriority;
}

/** The command prefix that makes the agent's user run a command as that user. */
export function userSwitch(user: RunUser): string[] {
  return user.needsSwitch ? ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, "--init-groups", "--"] : [];
}

async function readStatusFile(file: FileHandle | undefined): Promise<string> {
  const read = await file?.read(Buffer.alloc(STATUS_FILE_BYTES), 0, STATUS_FILE_BYTES, 0);
  return read === undefined ? "" : read.buffer.subarray(0, read.bytesRead).toString("utf8");
}

/** execa's types allow 3 to 9 only; any descriptor works. */
function inheritedFd(file: FileHandle): 3 {
  return file.fd as 3;
}

function pipeLines(stream: NodeJS.ReadableStream, lines: ReturnType<typeof lineSplitter>): void {
  stream.on("data", (chunk: Uint8Array) => lines.push(chunk));
  stream.once("end", () => lines.end());
}

interface StopConditions {
  ladder: KillLadder;
  exited: Promise<void>;
  signal: AbortSignal | undefined;
  timeLimitMs: number | undefined;
}

/** @returns a function that returns why the child was stopped; null when it was not */
function stopOnSignalOrTimeout(
  pid: number,
  { ladder, exited, signal, timeLimitMs }: StopConditions,
): () => "signal" | "time" | null {
  let reason: "signal" | "time" | null = null;
  const stop = (why: "signal" | "time"): void => {
    if (reason !== null) return;
    reason = why;
    void runKillLadder(pid, ladder, exited);
  };
  const onAbort = (): void => stop("signal");
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted === true) onAbort();
  const timer = timeLimitMs === undefined ? undefined : setTimeout(stop, Math.min(timeLimitMs, MAX_TIMER_MS), "time");
  const removeListeners = (): void => {
    signal?.removeEventListener("abort", onAbort);
    clearTimeout(timer);
  };
  void exited.then(removeListeners);
  return () => reason;
}

/** A process that left the group and holds the output open (a daemon a hook has started) is not waited for. */
async function killLeftovers(
  pid: number,
  { stdout, stderr }: { stdout: { destroy(): void }; stderr: { destroy(): void } },
): Promise<void> {
  await killGroup(pid);
  const timer = setTimeout(() => {
    stdout.destroy();
    stderr.destroy();
  }, DRAIN_MS);
  timer.unref();
}
