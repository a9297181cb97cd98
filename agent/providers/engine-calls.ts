import { type Command, type ProcessResult, runInherited, runProcess } from "../system/process/process.ts";
import type { KillLadder } from "../system/process/kill-ladder.ts";
import { MAX_OUTPUT_BYTES } from "../system/process/lines.ts";
import { runError } from "../run-error.ts";
import { passageAdvice } from "../system/passage.ts";
import type { Access } from "./provider.ts";

export interface EngineCall {
  readonly args: readonly string[];
  /** Texts the engine finds as /dev/fd/4, /dev/fd/5 …; the passphrase is at 3. */
  readonly files?: readonly string[];
  /** Added to its environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** One more file, for the engine to write to: see Command.hasStatusFile. */
  readonly hasStatusFile?: boolean;
  /** Its working directory; `/` when not given. */
  readonly cwd?: string;
  /** Wraps its command line into another command. */
  readonly wrap?: (engine: readonly string[]) => readonly string[];
  /** The kill ladder, if other than for the run's engine. */
  readonly ladder?: KillLadder;
  readonly timeLimitMs?: number;
  /** Runs even after the run was cancelled, to look up its result. */
  readonly runsAfterCancel?: boolean;
  /** Its whole answer may be one line. */
  readonly isOneLine?: boolean;
  readonly onStdout?: (line: string) => void;
  readonly onStdoutBytes?: (chunk: Uint8Array) => void;
  readonly onStderr?: (line: string) => void;
}

/** Calls one engine on one repository, for one run. */
export interface EngineCalls {
  readonly access: Access;
  /** Runs the engine until it ends. Throws the signal's reason when the run was cancelled before. */
  call(call: EngineCall): Promise<ProcessResult>;
  /** As `call`, in the agent's terminal. @returns its exit code */
  callInherited(args: readonly string[]): Promise<number>;
}

/** Exit codes of the shell and of setpriv for a program that they can't start; no engine has them. */
const NOT_STARTED = [126, 127];

interface EngineProgram {
  readonly path: string;
  /** Options before every call's own arguments. */
  readonly options: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Added when no person can answer a prompt. */
  readonly unattendedEnv?: Readonly<Record<string, string>>;
  /** Variables that hold the path of a file, with the file's text: it is behind all others. */
  readonly envFiles?: Readonly<Record<string, string>>;
}

/** Behind the passphrase, which is at 3. */
const FIRST_FILE = 4;

/** Secrets and locations are never in argv, which every user of the host can read: they go into `env` and files. */
export function engineCalls(access: Access, program: EngineProgram): EngineCalls {
  const { path, options, env, unattendedEnv = {}, envFiles = {} } = program;
  const command = ({
    args,
    files = [],
    env: more = {},
    hasStatusFile = false,
    cwd,
    wrap = (engine) => engine,
  }: EngineCall): Command => {
    const [first = path, ...rest] = wrap([path, ...options, ...args]);
    const before = FIRST_FILE + files.length + (hasStatusFile ? 1 : 0);
    const paths = Object.keys(envFiles).map((name, index) => [name, `/dev/fd/${before + index}`]);
    return {
      program: first,
      args: rest,
      env: { ...env, ...Object.fromEntries(paths), ...unattendedEnv, ...more },
      user: access.user,
      umask: "077",
      performance: access.performance,
      files: [`${access.secrets.passphrase}\n`, ...files],
      hasStatusFile,
      lastFiles: Object.values(envFiles),
      fileDirectory: access.paths.state,
      ...(cwd === undefined ? {} : { cwd }),
    };
  };
  return {
    access,
    callInherited(args) {
      const called = command({ args });
      const prompts = Object.entries(called.env).filter(([name]) => !(name in unattendedEnv));
      return runInherited({ ...called, env: Object.fromEntries(prompts) });
    },
    async call(call) {
      const { signal } = access;
      const { ladder = access.ladder, runsAfterCancel = false, isOneLine = false } = call;
      // The run's own time limit no longer applies, but it must end all the same.
      const { timeLimitMs = runsAfterCancel ? access.timeouts.lockMs + access.timeouts.openMs : undefined } = call;
      const { onStdout, onStdoutBytes, onStderr } = call;
      if (!runsAfterCancel) signal.throwIfAborted();
      const ended = await runProcess(command(call), {
        ladder,
        beforeStart: access.onChild,
        ...(runsAfterCancel ? {} : { signal }),
        ...(isOneLine ? { maxStdoutLineBytes: MAX_OUTPUT_BYTES } : {}),
        ...(onStdout === undefined ? {} : { onStdout }),
        ...(onStdoutBytes === undefined ? {} : { onStdoutBytes }),
        ...(onStderr === undefined ? {} : { onStderr }),
        ...(timeLimitMs === undefined ? {} : { timeLimitMs }),
      });
      const isRefused = ended.exitCode !== null && NOT_STARTED.includes(ended.exitCode) && call.wrap === undefined;
      if (isRefused && access.user.needsSwitch) {
        const advice = await passageAdvice(access.user, path);
        throw runError("engine.missing", `user ${access.user.name} can't run ${path}`, advice);
      }
      return ended;
    },
  };
}
