import { readFileSync } from "node:fs";
import { userInfo } from "node:os";

/** The user a child runs as. */
export interface RunUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  /** It is not the agent's own user: the child has to be switched to it. */
  readonly needsSwitch: boolean;
}

/** The user the agent itself runs as. Found by its uid, since Bun's userInfo trusts the environment. */
export function ownUser(): RunUser {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  const local = parsePasswd(readFileSync("/etc/passwd", "utf8").split("\n")).find((account) => account.uid === uid);
  if (local !== undefined) return { ...local, gid, needsSwitch: false };
  const { username, homedir } = userInfo();
  return { name: username, uid, gid, home: homedir, needsSwitch: false };
}

/** Parses lines of passwd(5). */
export function parsePasswd(lines: string[]): Omit<RunUser, "needsSwitch">[] {
  return lines.flatMap((line) => {
    const [name, , uid, gid, , home = ""] = line.split(":");
    if (name === undefined || uid === undefined || gid === undefined) return [];
    return [{ name, uid: Number(uid), gid: Number(gid), home: home === "" ? "/" : home }];
  });
}
