import { readFile } from "node:fs/promises";
import { runError } from "../../run-error.ts";
import { HOOK_LADDER } from "./kill-ladder.ts";
import { CHILD_PATH } from "../executables.ts";
import { parsePasswd, ownUser, type RunUser } from "./user.ts";
import { runProcess } from "./process.ts";

/** Finds a user of the host. @throws `user.unavailable` when there is none, or the agent may not switch to it */
export async function findUser(name: string): Promise<RunUser> {
  const own = ownUser();
  if (name === own.name) return own;
  const found = await lookUpUser(name, own);
  if (found === null) {
    // Without an account there is no group and no home: whatever they would be is a guess.
    const what = numberOf(name) === null ? `there is no user "${name}"` : `no user has the number ${name}`;
    throw runError("user.unavailable", `${what} on this host`);
  }
  if (found.uid === own.uid) return { ...found, needsSwitch: false };
  if (own.uid !== 0) {
    throw runError(
      "user.unavailable",
      `the contract's user is "${name}", but the agent runs as "${own.name}" and only root can become another user`,
    );
  }
  return { ...found, needsSwitch: true };
}

/** @returns the number, when a user is given by it */
function numberOf(name: string): number | null {
  return /^\d+$/.test(name) ? Number(name) : null;
}

/** Whether the host has the user, by a directory service too. */
export async function isUser(name: string): Promise<boolean> {
  const own = ownUser();
  return name === own.name || (await lookUpUser(name, own)) !== null;
}

async function lookUpUser(name: string, own: RunUser): Promise<RunUser | null> {
  const lines: string[] = [];
  // getent also knows users of a directory service. Where it is missing, /etc/passwd has to do.
  const { exitCode } = await runProcess(
    {
      program: "getent",
      args: ["passwd", name],
      env: { PATH: CHILD_PATH },
      user: own,
      umask: "077",
      fileDirectory: "/",
    },
    { ladder: HOOK_LADDER, timeLimitMs: 30_000, onStdout: (line) => lines.push(line) },
  );
  if (exitCode === 2) return null;
  const known = exitCode === 0 ? lines : (await readFile("/etc/passwd", "utf8")).split("\n");
  const uid = numberOf(name);
  const account = parsePasswd(known).find((found) => (uid === null ? found.name === name : found.uid === uid));
  return account === undefined ? null : { ...account, needsSwitch: true };
}
