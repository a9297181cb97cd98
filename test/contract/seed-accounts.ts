import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The other user of the seed's contract test: a system user whose primary group is root, and who is in one more. */
const ME = { uid: 4242, gid: 0 };
/** NixOS's own number of the group `keys`, which its secrets belong to. */
export const KEYS_GID = 96;

/** Lines for /etc/passwd and /etc/group. */
const ACCOUNTS = {
  passwd: `me:x:${ME.uid}:${ME.gid}::/var/empty:/usr/sbin/nologin`,
  group: `sudoers:x:4243:me\nkeys:x:${KEYS_GID}:`,
};

/** @returns what goes before a command that is to know these accounts: each has a mount namespace of its own */
export async function insideSeedAccounts(): Promise<readonly string[]> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-accounts-"));
  for (const [name, lines] of Object.entries(ACCOUNTS)) {
    await writeFile(join(directory, name), `${(await readFile(`/etc/${name}`, "utf8")).trimEnd()}\n${lines}\n`);
  }
  const script = 'for one in passwd group; do mount --bind "$0/$one" "/etc/$one" || exit 99; done; exec "$@"';
  return ["unshare", "--mount", "/bin/sh", "-c", script, directory];
}

/** The numbers of a user of this machine, or of the one that the tests add. */
export function numbersOf(user: string): { uid: number; gid: number } {
  if (user === "me") return ME;
  const [uid, gid] = ["-u", "-g"].map((option) => Number(execFileSync("id", [option, user], { encoding: "utf8" })));
  return { uid: uid ?? 0, gid: gid ?? 0 };
}
