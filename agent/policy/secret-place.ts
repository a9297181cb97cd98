import { realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";

const STICKY = 0o1000;

/**
 * Who can change a directory on the way to a file chooses what the file is: the agent would read any other for him.
 * @returns why a secret for hooks is not read from there; null when only root (or the agent's own user) decides that
 * @throws when it is not there
 */
export async function secretPlaceFault(file: string): Promise<string | null> {
  for (const place of new Set([...above(file), ...above(await realpath(file))])) {
    const { uid, mode } = await stat(place);
    const isOurs = uid === 0 || uid === process.getuid?.();
    if (isOurs && ((mode & 0o022) === 0 || (mode & STICKY) === STICKY)) continue;
    return `others than root can change ${place}, and with it what ${file} is: move the secret to a directory of root's, such as /etc/holdfast/secrets`;
  }
  return null;
}

function above(file: string): string[] {
  const places: string[] = [];
  for (let place = dirname(file); ; place = dirname(place)) {
    places.push(place);
    if (place === "/") return places;
  }
}
