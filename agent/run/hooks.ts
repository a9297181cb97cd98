import { type ContractRequest, HookName } from "../../shared/contract.ts";
import type { Paths } from "../config.ts";
import { findHook, type Policy } from "../policy/policy.ts";
import { PolicyError } from "../policy/check.ts";
import { HOOK_LADDER } from "../system/process/kill-ladder.ts";
import type { ProcessRef } from "../system/process/process-ref.ts";
import { CHILD_PATH, findExecutable } from "../system/executables.ts";
import { runProcess } from "../system/process/process.ts";
import type { RunUser } from "../system/process/user.ts";
import { runError } from "../run-error.ts";
import type { RunLog } from "../run-log.ts";

interface HookDeps {
  readonly paths: Pick<Paths, "hooksDir">;
  readonly policy: Policy;
}

/** A hook after policy check and lookup: its name for logs, and the command to run. */
export interface ResolvedHook {
  readonly name: string;
  readonly command: string[];
}

/**
 * Finds every hook of a contract before any of them runs, so that a missing after hook is noticed before a service is
 * stopped.
 * @throws PolicyError, or `hook.missing`
 */
export async function resolveHooks(
  deps: HookDeps,
  { beforeBackup, afterBackup }: ContractRequest["hooks"],
): Promise<{ before: ResolvedHook[]; after: ResolvedHook[] }> {
  const before: ResolvedHook[] = [];
  const after: ResolvedHook[] = [];
  for (const hook of beforeBackup) before.push(await resolveHook(deps, hook));
  for (const hook of afterBackup) after.push(await resolveHook(deps, hook));
  return { before, after };
}

async function resolveHook(deps: HookDeps, hook: string): Promise<ResolvedHook> {
  const { path } = await findAllowedHook(deps, hook);
  return { name: shortTitle(hook), command: path === null ? [...(await shellOf(deps.policy)), hook] : [path] };
}

/** The bash script for a contract's database command. @throws PolicyError, or `hook.missing` */
export async function resolveScript(deps: HookDeps, command: string): Promise<string> {
  const { path } = await findAllowedHook(deps, command);
  return path === null ? command : `exec '${path.replaceAll("'", `'\\''`)}'`;
}

/** The only place that checks the policy for a hook. @returns the path of a named hook, or null for shell */
async function findAllowedHook({ policy, paths }: HookDeps, hook: string): Promise<{ path: string | null }> {
  if (policy.hooks === "off")
    throw new PolicyError("policy.hooks", policy.fault ?? "the host's policy allows no hooks");
  if (policy.hookNames !== null && !policy.hookNames.includes(hook)) {
    throw new PolicyError("policy.hooks", `the host's policy does not name the hook ${shortTitle(hook)}`);
  }
  const found = await findHook(paths, hook);
  if (found !== null) {
    if (found.fault !== null) throw new PolicyError("policy.hooks", found.fault);
    return { path: found.path };
  }
  if (policy.hooks === "inline") return { path: null };
  if (HookName.test(hook)) {
    throw runError("hook.missing", `there is no hook "${hook}" in ${paths.hooksDir}`);
  }
  throw new PolicyError(
    "policy.hooks",
    `the host's policy allows only the names of hooks in ${paths.hooksDir}, not shell: ${shortTitle(hook)}`,
  );
}

/**
 * Snippets declared by root are run by bash, as in the seed contract, where a variable may be unset. The control
 * plane's run in plain sh.
 */
async function shellOf(policy: Policy): Promise<string[]> {
  const bash = policy.isDeclared ? await findExecutable("bash", CHILD_PATH) : null;
  return bash === null ? ["/bin/sh", "-eu", "-c"] : [bash, "-e", "-c"];
}

export interface HookRun {
  readonly hook: ResolvedHook;
  readonly phase: "before" | "after";
  readonly user: RunUser;
  readonly run: string;
  readonly binding: string;
  readonly contract: string;
  readonly timeLimitMs: number;
  /** Secrets for it: by the variable's name, what it holds. */
  readonly environment: Readonly<Record<string, string>>;
  readonly log: RunLog;
  readonly fileDirectory: string;
  readonly signal?: AbortSignal;
  /** The hook does nothing until this has resolved. */
  readonly beforeStart: (child: ProcessRef) => Promise<void>;
}

/** Runs one hook until it ends. @throws `hook.failed`, `hook.timed_out`, or the signal's reason */
export async function runHook(input: HookRun): Promise<void> {
  const { hook, phase, user, log, timeLimitMs, signal } = input;
  log.line(`${phase} hook "${hook.name}" as ${user.name}`);
  const [program = "", ...args] = hook.command;
  const say = (line: string): void => log.line(`  ${line}`);
  const ended = await runProcess(
    {
      program,
      args,
      user,
      umask: "022",
      env: {
        ...input.environment,
        PATH: CHILD_PATH,
        HOME: user.home,
        USER: user.name,
        LANG: "C.UTF-8",
        HOLDFAST_RUN: input.run,
        HOLDFAST_BINDING: input.binding,
        HOLDFAST_CONTRACT: input.contract,
        HOLDFAST_PHASE: phase,
      },
      fileDirectory: input.fileDirectory,
    },
    {
      ladder: HOOK_LADDER,
      timeLimitMs,
      beforeStart: input.beforeStart,
      onStdout: say,
      onStderr: say,
      ...(signal === undefined ? {} : { signal }),
    },
  );
  if (ended.cancelled) signal?.throwIfAborted();
  const which = `the ${phase} hook "${hook.name}"`;
  if (ended.timedOut) throw runError("hook.timed_out", `${which} was stopped after ${seconds(timeLimitMs)}`);
  if (ended.startFailure !== null)
    throw runError("hook.failed", `${which} could not be started: ${ended.startFailure}`);
  if (ended.signal !== null) throw runError("hook.failed", `${which} was ended by ${ended.signal}`);
  if (ended.exitCode !== 0) {
    const last = log.redact(ended.stderr.trimEnd().split("\n").at(-1) ?? "").slice(0, 500);
    throw runError("hook.failed", `${which} exited with ${ended.exitCode}${last === "" ? "" : `: ${last}`}`);
  }
}

function shortTitle(hook: string): string {
  const [first = ""] = hook.trim().split("\n");
  return first.length < hook.trim().length || first.length > 60 ? `${first.slice(0, 60)}…` : first;
}

function seconds(milliseconds: number): string {
  return `${milliseconds / 1000} s`;
}
