import type { Readable } from "node:stream";
import { CHILD_PATH, findExecutable } from "../system/executables.ts";
import { HOOK_LADDER } from "../system/process/kill-ladder.ts";
import type { ProcessRef } from "../system/process/process-ref.ts";
import { runProcess, userSwitch } from "../system/process/process.ts";
import { ownUser, type RunUser } from "../system/process/user.ts";
import { runError } from "../run-error.ts";
import type { RunLog } from "../run-log.ts";
import type { RunFailureCode } from "../../shared/failure.ts";

/** Context shared by all commands on databases and services. */
export interface CommandContext {
  readonly run: string;
  readonly log: RunLog;
  /** Absent for cleanup, which must not be cancelled. */
  readonly signal?: AbortSignal;
  readonly timeLimitMs?: number;
  readonly beforeStart: (child: ProcessRef) => Promise<void>;
}

export interface CommandSpec {
  /** For a person: what is done, and to what. */
  readonly what: string;
  readonly user?: RunUser;
  readonly command: readonly string[];
  /** Files of the agent's own: opened by the agent, not by the user. */
  readonly output?: string;
  readonly input?: string;
  /** Instead of a file: when it fails, the command is stopped before it sees an end, and its error is thrown. */
  readonly stream?: Readable;
  /** The failure code; `consistency.failed` when not given. */
  readonly code?: RunFailureCode;
}

/**
 * Runs one command until it ends.
 * @returns the lines of its stdout
 * @throws the signal's reason, or a RunError with the last line of its stderr
 */
export async function runCommand(context: CommandContext, command: CommandSpec): Promise<string[]> {
  const { user = ownUser(), what, code = "consistency.failed" } = command;
  const lines: string[] = [];
  const redirect = `${command.input === undefined ? "" : ' <"$in"'}${command.output === undefined ? "" : ' >"$out"'}`;
  const ended = await runProcess(
    {
      program: "/bin/sh",
      args: [
        "-c",
        `in=$1; out=$2; shift 2; exec "$@"${redirect}`,
        "sh",
        command.input ?? "",
        command.output ?? "",
        ...switched(user, command),
      ],
      env: {
        PATH: process.env["PATH"] ?? CHILD_PATH,
        HOME: user.home,
        USER: user.name,
        LOGNAME: user.name,
        LANG: "C.UTF-8",
        HOLDFAST_RUN: context.run,
        HOLDFAST_PHASE: "consistency",
      },
      user: ownUser(),
      umask: "077",
      fileDirectory: "/",
    },
    {
      ladder: HOOK_LADDER,
      beforeStart: context.beforeStart,
      onStdout: (line) => lines.push(line),
      onStderr: (line) => context.log.line(`  ${line}`),
      ...(context.timeLimitMs === undefined ? {} : { timeLimitMs: context.timeLimitMs }),
      ...(context.signal === undefined ? {} : { signal: context.signal }),
      ...(command.stream === undefined ? {} : { input: command.stream }),
    },
  );
  if (ended.cancelled) context.signal?.throwIfAborted();
  if (command.stream?.errored instanceof Error) throw command.stream.errored;
  if (ended.timedOut) throw runError(code, `${what} did not end in time`);
  const said = ended.stderr.trimEnd().split("\n");
  // What follows an error only explains it.
  const last = context.log.redact(said.findLast((line) => /\berror\b/i.test(line)) ?? said.at(-1) ?? "").slice(0, 500);
  const how =
    ended.startFailure ?? (ended.signal === null ? `exited with ${ended.exitCode}` : `was ended by ${ended.signal}`);
  if (ended.exitCode !== 0) throw runError(code, `${what} ${how}${last === "" ? "" : `: ${last}`}`);
  return lines;
}

function switched(user: RunUser, { command }: CommandSpec): string[] {
  return [...userSwitch(user), ...command];
}

/** @returns the path of the first of these programs that is installed @throws `consistency.failed` */
export async function requireProgram(...names: [string, ...string[]]): Promise<string> {
  for (const name of names) {
    const path = await findExecutable(name, process.env["PATH"] ?? CHILD_PATH);
    if (path !== null) return path;
  }
  throw runError("consistency.failed", `${names[0]} is not installed on this host`, `Install it, then run again.`);
}

/** Docker or Podman: whichever has the container. @throws `consistency.failed` when neither has */
export async function containerProgram(context: CommandContext, container: string): Promise<string> {
  for (const name of ["docker", "podman"]) {
    const program = await findExecutable(name, process.env["PATH"] ?? CHILD_PATH);
    if (program !== null && (await stateOfContainer(context, { program, container })) !== null) return program;
  }
  throw runError("consistency.failed", `neither Docker nor Podman has a container "${container}" here`);
}

/** @returns its state, as the container engine names it; null when there is no container of that name */
export async function stateOfContainer(
  context: CommandContext,
  { program, container }: { program: string; container: string },
): Promise<string | null> {
  try {
    const command = [program, "container", "inspect", "--format", "{{.State.Status}}", container];
    const [state = null] = await runCommand(context, { what: `looking for container ${container}`, command });
    return state;
  } catch {
    context.signal?.throwIfAborted();
    return null;
  }
}
