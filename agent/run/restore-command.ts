import type { AssignedContract } from "../../shared/assignment.ts";
import type { Paths } from "../config.ts";
import { requireApproval } from "../in-force/gate.ts";
import { askForRestoreUser } from "../policy/asks.ts";
import type { Policy } from "../policy/policy.ts";
import { RunError, runError } from "../run-error.ts";
import { CHILD_PATH, findExecutable } from "../system/executables.ts";
import { HOOK_LADDER } from "../system/process/kill-ladder.ts";
import { findUser } from "../system/process/find-user.ts";
import { runProcess } from "../system/process/process.ts";
import { ownUser, type RunUser } from "../system/process/user.ts";
import { resolveScript } from "./hooks.ts";
import { sureCommands } from "./shell-commands.ts";

/** A database's restoreCmd after policy check and lookup. */
export interface RestoreCommand {
  /** Run by bash. */
  readonly script: string;
  readonly user: RunUser;
}

interface RestoreCommandInput {
  readonly contract: Extract<AssignedContract, { kind: "databasebackup" }>;
  /** As it counts for this contract. */
  readonly policy: Policy;
  /** The name of the binding. */
  readonly binding: string;
}

interface Deps {
  readonly paths: Paths;
  readonly clock: { now(): number };
}

/**
 * Finds what a restore would run, and as whom: as Self Host Blocks' providers do it, as whoever restores, for a
 * contract that root declares; as the request's user for any other.
 * @throws PolicyError, `hook.missing`, `user.unavailable`, or `policy.approval_needed`
 */
export async function resolveRestoreCommand(deps: Deps, input: RestoreCommandInput): Promise<RestoreCommand> {
  const { contract, policy, binding } = input;
  const script = await resolveScript({ paths: deps.paths, policy }, contract.request.restoreCmd);
  const { restoreUser, request } = contract;
  if (restoreUser === null) return { script, user: policy.isDeclared ? ownUser() : await findUser(request.user) };
  const user = await findUser(restoreUser);
  // By whatever name it is called.
  if (user.uid === 0 && !policy.isDeclared && (await findUser(request.user)).uid !== 0) {
    await requireApproval(deps, { asks: [askForRestoreUser(contract)], policy, binding });
  }
  return { script, user };
}

/** Why a restore in place would fail for certain, as far as that can be seen without one; null when nothing is. */
export async function restoreFault(deps: Deps, input: RestoreCommandInput): Promise<RunError | null> {
  try {
    return await commandFault(await resolveRestoreCommand(deps, input));
  } catch (error) {
    if (error instanceof RunError) return error;
    throw error;
  }
}

/**
 * Why a restoreCmd would fail for certain: a program that its user can't find or run, a user who is not there, a sudo
 * that is not allowed. What can't be told from the text is no fault.
 */
export async function commandFault({ script, user }: RestoreCommand): Promise<RunError | null> {
  const commands = sureCommands(script).map((words) => ({ words, as: otherUserOf(words) }));
  // sudo looks in places of its own, and says itself what it does not find.
  const names = commands
    .flatMap(({ words: [name], as }) => [name, as?.by === "runuser" ? as.program : null])
    .filter(isPlain);
  for (const name of await missingPrograms(user, names)) {
    const where = name.includes("/") ? "" : ` in ${CHILD_PATH}`;
    return unrestorable(
      `user ${user.name}, who runs restoreCmd, can't find or run the program "${name}"${where}`,
      `Install "${name}" on this host for that user, or change restoreCmd.`,
    );
  }
  for (const { as } of commands) {
    if (as === null) continue;
    const fault = (await userFault(as.user)) ?? (await switchFault(user, as));
    if (fault !== null) return fault;
  }
  return null;
}

function unrestorable(message: string, next: string): RunError {
  return runError("database.failed", `restoreCmd can't run here: ${message}`, next);
}

/** `sudo -u USER PROGRAM …` or `runuser -u USER -- PROGRAM …`. */
interface OtherUser {
  readonly by: "sudo" | "runuser";
  readonly user: string;
  readonly program: string;
  readonly hasArguments: boolean;
}

/** @returns null for any other command, and for options that this does not know */
function otherUserOf([by, ...words]: readonly (string | null)[]): OtherUser | null {
  if (by !== "sudo" && by !== "runuser") return null;
  let user: string | null = by === "sudo" ? "root" : null;
  let at = 0;
  for (; at < words.length; at++) {
    const word = words[at] ?? null;
    if (word === null) return null;
    if (!word.startsWith("-")) break;
    const [, given] = /^--user=(.+)$/.exec(word) ?? /^-u(.+)$/.exec(word) ?? [];
    if (word === "-u" || word === "--user") user = words[++at] ?? null;
    else if (given !== undefined) user = given;
    else if (word === "--") {
      at++;
      break;
    } else if (by === "runuser" || !/^-[nH]+$/.test(word)) return null;
  }
  const [program = null, ...more] = words.slice(at);
  if (user === null || !/^[A-Za-z_#][\w.-]*\$?$/.test(user) || !isPlain(program)) return null;
  return { by, user, program, hasArguments: more.length > 0 };
}

function isPlain(name: string | null | undefined): name is string {
  return typeof name === "string" && /^[\w./+@-]+$/.test(name) && (name.startsWith("/") || !name.includes("/"));
}

/** bash itself says what it would not find, so that its own commands count, and the user's rights. */
async function missingPrograms(user: RunUser, names: readonly string[]): Promise<string[]> {
  const bash = await findExecutable("bash", CHILD_PATH);
  if (bash === null || names.length === 0) return [];
  const look = `for name; do type -- "$name" >/dev/null 2>&1 || printf '%s\\n' "$name"; done`;
  const missing: string[] = [];
  const ended = await run(user, [bash, "-c", look, "holdfast", ...new Set(names)], (line) => missing.push(line));
  return ended.exitCode === 0 ? missing : [];
}

async function userFault(name: string): Promise<RunError | null> {
  // `#1000` is a number, which needs no account.
  if (!/^[A-Za-z_]/.test(name)) return null;
  try {
    await findUser(name);
    return null;
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    if (process.getuid?.() !== 0) return null;
    return unrestorable(
      `it runs something as user "${name}", whom this host does not have`,
      `Name a user that exists in restoreCmd, or create "${name}".`,
    );
  }
}

async function switchFault(user: RunUser, as: OtherUser): Promise<RunError | null> {
  const next = `restoreUser says who runs restoreCmd: name a user who may do that (in a file of contracts.d, null is root), or leave "${as.by}" out of restoreCmd.`;
  const what = `${as.by} -u ${as.user} ${as.program}`;
  if (as.by === "runuser") {
    return user.uid === 0 ? null : unrestorable(`user ${user.name} may not run "${what}": only root may`, next);
  }
  const sudo = await findExecutable("sudo", CHILD_PATH);
  if (sudo === null) return null;
  // Without its arguments, which may hold a secret. A rule may be for these arguments alone: then any rule will do.
  const ended = await run(user, [sudo, "-n", "-l", "-u", as.user, "--", as.program]);
  // 0: allowed; 1: not. Anything else says nothing.
  if (ended.exitCode !== 1) return null;
  if (as.hasArguments && (await run(user, [sudo, "-n", "-l"])).exitCode !== 1) return null;
  const said = ended.stderr.trimEnd().split("\n").at(-1) ?? "";
  return unrestorable(`user ${user.name} may not run "${what}"${said === "" ? "" : `: ${said.slice(0, 300)}`}`, next);
}

async function run(
  user: RunUser,
  [program = "", ...args]: readonly string[],
  onStdout: (line: string) => void = () => undefined,
): ReturnType<typeof runProcess> {
  const env = { PATH: CHILD_PATH, HOME: user.home, USER: user.name, LANG: "C.UTF-8" };
  return await runProcess(
    { program, args, env, user, umask: "077", fileDirectory: "/" },
    { ladder: HOOK_LADDER, timeLimitMs: 30_000, onStdout },
  );
}
