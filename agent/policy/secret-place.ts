import { closeSync, constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { entryOf, openDirectory } from "../system/descriptors.ts";
import { wayTo } from "../system/way.ts";

/**
 * Who can change a directory on the way to a file, also on the way of a link, chooses what the file is: the agent would
 * read any other for him. In a directory like /tmp he can do that with what is his own.
 * @returns why a secret for hooks is not read from there; null when only root (or the agent's own user) decides that
 * @throws when it is not there
 */
export async function secretPlaceFault(file: string): Promise<string | null> {
  const { changeable } = await wayTo(file);
  if (changeable === null) return null;
  return `others than root can change ${changeable}, and with it what ${file} is: ${MOVE}`;
}

const MOVE = "move the secret to a directory of root's, such as /etc/holdfast/secrets";

/**
 * Opens a secret for reading. A user may keep one in his own directory, and no link there is followed: it could lead to
 * a secret of somebody else.
 * @throws when it is not there, or a link of others is on the way
 */
export async function openSecretFile(file: string): Promise<FileHandle> {
  const { real, link } = await wayTo(file);
  if (link !== null) throw new Error(`${link} is a link that others than root can change: ${MOVE}`);
  // What has become a link meanwhile is not followed either; a named pipe is not waited for.
  const directory = openDirectory(dirname(real));
  try {
    return await open(entryOf(directory, basename(real)), O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  } finally {
    closeSync(directory);
  }
}

const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
