import { readFileSync, statSync } from "node:fs";
import { listProcesses } from "./process-ref.ts";
import { ownUser, parsePasswd, type RunUser } from "./user.ts";

/** Accounts that systems bring along and hardly anything uses, the least used first. */
const BROUGHT_ALONG = [
  "games",
  "irc",
  "list",
  "news",
  "gnats",
  "ftp",
  "uucp",
  "lp",
  "bin",
  "operator",
  "sys",
  "nobody",
];

/**
 * An account of this host that runs nothing now and owns nothing that matters: for a program that gets hostile input.
 * @param isTaken accounts that are not to be chosen
 * @returns null when the agent can't become another user, or no such account is free
 */
export function findIdleAccount(isTaken: (name: string) => boolean): RunUser | null {
  if (ownUser().uid !== 0) return null;
  const busy = new Set(listProcesses().flatMap(({ pid }) => ownerOf(pid)));
  const known = parsePasswd(readFileSync("/etc/passwd", "utf8").split("\n"));
  for (const name of BROUGHT_ALONG) {
    const account = known.find((one) => one.name === name);
    if (account === undefined || account.uid === 0 || busy.has(account.uid) || isTaken(name)) continue;
    return { ...account, home: "/nonexistent", needsSwitch: true };
  }
  return null;
}

function ownerOf(pid: number): number[] {
  try {
    return [statSync(`/proc/${pid}`).uid];
  } catch {
    return [];
  }
}
