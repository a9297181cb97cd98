import { lstat } from "node:fs/promises";
import { isLocalLocation } from "../../../shared/location.ts";
import { isMissing } from "../../../shared/node/files.ts";
import { isOurs } from "../../system/descriptors.ts";
import { findUser } from "../../system/process/find-user.ts";
import { wayTo } from "../../system/way.ts";
import type { Access } from "../provider.ts";

/** In a URL, borg takes a path that begins so for one of a home. */
const OF_A_HOME = /^\/~/;

/**
 * Root reads a repository of another user as that user, by a `borg serve` of his: borg writes a lost index anew, and
 * follows the links that he may have put in its place, also when it only reads (tried with 1.2 and 1.4).
 * @returns variables for borg; null when the repository is root's, or the run is not root's
 */
export async function servedByOwner(
  borg: string,
  { repository: { location }, user }: Pick<Access, "repository" | "user">,
): Promise<Record<string, string> | null> {
  if (user.uid !== 0 || user.needsSwitch || !isLocalLocation(location) || OF_A_HOME.test(location)) return null;
  const owner = await ownerOf(location);
  if (owner === null || isOurs(owner)) return null;
  const account = await findUser(`${owner}`).catch(() => null);
  const groups = account === null ? "--clear-groups" : "--init-groups";
  const script = 'exec setpriv "--reuid=$2" "--regid=$3" "$4" -- "$0" serve --restrict-to-repository "$1"';
  const words = ["/bin/sh", "-c", script, borg, location, `${owner}`, `${account?.gid ?? owner}`, groups];
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
