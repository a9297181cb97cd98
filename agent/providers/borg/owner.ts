import { lstat } from "node:fs/promises";
import { isLocalLocation } from "../../../shared/location.ts";
import { isMissing } from "../../../shared/node/files.ts";
import { wayTo } from "../../system/way.ts";
import type { Access } from "../provider.ts";

/** In a URL, borg takes a path that begins so for one of a home. */
const OF_A_HOME = /^\/~/;

/**
 * A restore is root's, and reads the repository of another user as that user, by a `borg serve` of his: borg writes a
 * lost index anew, and follows the links that he may have put in its place, also when it only reads (tried with 1.2
 * and 1.4).
 * @returns variables for borg; null when the repository does not belong to the user who makes the backups
 */
export async function servedByOwner(
  borg: string,
  { repository: { location }, user, backupUser }: Pick<Access, "repository" | "user" | "backupUser">,
): Promise<Record<string, string> | null> {
  if (backupUser === null || backupUser.uid === user.uid || user.uid !== 0) return null;
  if (!isLocalLocation(location) || OF_A_HOME.test(location)) return null;
  // Of any other it can't be said who may read all of it.
  if ((await ownerOf(location)) !== backupUser.uid) return null;
  const script = 'exec setpriv "--reuid=$2" "--regid=$3" --init-groups -- "$0" serve --restrict-to-repository "$1"';
  const words = ["/bin/sh", "-c", script, borg, location, `${backupUser.uid}`, `${backupUser.gid}`];
  // Borg splits it as a shell would, and adds a host and a command.
  return { BORG_REPO: `ssh://owner${location}`, BORG_RSH: words.map(quoted).join(" ") };
}

/** Of the link by which another user says where it is, if there is one: he could lead it elsewhere at any time. */
async function ownerOf(location: string): Promise<number | null> {
  try {
    const { real, link } = await wayTo(location);
    return (await lstat(link ?? real)).uid;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}
