import { type Command, type ProcessResult, runInherited, runProcess } from "../system/process/process.ts";
import type { KillLadder } from "../system/process/kill-ladder.ts";
import { MAX_OUTPUT_BYTES } from "../system/process/lines.ts";
import type { Access } from "./provider.ts";

export interface EngineCall {
  readonly args: readonly string[];
  /** Texts it finds as /dev/fd/4, /dev/fd/5 …; the passphrase is 3. */
  readonly files?: readonly string[];
  /** It has one more file, that it may write into: see Command.hasStatusFile. */
  readonly hasStatusFile?: boolean;
  /** The directory it works in; the root when none is given. */
  readonly cwd?: string;
  /** Puts its command line into another's that begins it. */
  readonly wrap?: (engine: readonly string[]) => readonly string[];
  /** When it is ended in another way than the run's engine is. */
  readonly ladder?: KillLadder;
  readonly timeLimitMs?: number;
  /** It looks for the truth of a run, also after that was stopped. */
  readonly runsAfterCancel?: boolean;
  /** Its whole answer may be one line. */
  readonly isOneLine?: boolean;
  readonly onStdout?: (line: string) => void;
  readonly onStdoutBytes?: (chunk: Uint8Array) => void;
  readonly onStderr?: (line: string) => void;
}

/** One engine on one repository, for one run. */
export interface EngineCalls {
  readonly access: Access;
  /** Runs it to its end. Throws the signal's reason when the run was cancelled before it began. */
  call(call: EngineCall): Promise<ProcessResult>;
  /** The same in the agent's terminal. @returns its exit code */
  callInherited(args: readonly string[]): Promise<number>;
}

interface EngineProgram {
  readonly path: string;
  /** What comes before every call's own arguments. */
  readonly options: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** What is added when nobody looks on whom it could ask. */
  readonly unattendedEnv?: Readonly<Record<string, string>>;
}

/** Nothing secret and no location is ever in argv, where every user of the host can read it: that is for `env` and files. */
export function engineCalls(access: Access, { path, options, env, unattendedEnv = {} }: EngineProgram): EngineCalls {
  const command = ({
    args,
    files = [],
    hasStatusFile = false,
    cwd,
    wrap = (engine) => engine,
  }: EngineCall): Command => {
    const [program = path, ...rest] = wrap([path, ...options, ...args]);
    return {
      program,
      args: rest,
      env: { ...env, ...unattendedEnv },
      user: access.user,
      umask: "077",
      performance: access.performance,
      files: [`${access.secrets.passphrase}\n`, ...files],
      hasStatusFile,
      fileDirectory: access.paths.state,
      ...(cwd === undefined ? {} : { cwd }),
    };
  };
  return {
    access,
    callInherited: (args) => runInherited({ ...command({ args }), env }),
    async call(call) {
      const { signal } = access;
      const { ladder = access.ladder, runsAfterCancel = false, isOneLine = false } = call;
      // What the run's own limit no longer reaches must end all the same.
      const { timeLimitMs = runsAfterCancel ? access.timeouts.lockMs + access.timeouts.openMs : undefined } = call;
      const { onStdout, onStdoutBytes, onStderr } = call;
      if (!runsAfterCancel) signal.throwIfAborted();
      return await runProcess(command(call), {
        ladder,
        beforeStart: access.onChild,
        ...(runsAfterCancel ? {} : { signal }),
        ...(isOneLine ? { maxStdoutLineBytes: MAX_OUTPUT_BYTES } : {}),
        ...(onStdout === undefined ? {} : { onStdout }),
        ...(onStdoutBytes === undefined ? {} : { onStdoutBytes }),
        ...(onStderr === undefined ? {} : { onStderr }),
        ...(timeLimitMs === undefined ? {} : { timeLimitMs }),
      });
    },
  };
}
