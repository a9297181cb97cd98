import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { instant } from "../../shared/ids.ts";
import { isLocalLocation } from "../../shared/location.ts";
import type { SnapshotFacts } from "../../shared/run.ts";
import { circumstancesOf, type LastListing, takeListing, writeListing } from "../state/last-listing.ts";
import { failureOf } from "../run-error.ts";
import { knownEngineIds } from "./engine-ids.ts";
import type { Engine } from "./engine-version.ts";
import type { Access, RecallMode } from "./provider.ts";

/** Everything is listed again after this time, whatever was seen meanwhile. */
const LISTED_FOR_MS = 24 * 3_600_000;
const MAX_CONFIG_BYTES = 65_536;

/** What one run knows of its repository, from an earlier run or from the engine, and leaves to the next. */
export interface Memory {
  readonly engineId: string;
  /** The binding's snapshots as an earlier run left them, oldest first; null when the engine has to be asked. */
  readonly recalled: readonly SnapshotFacts[] | null;
  /** Looks at the repository itself, if its id was only assumed. Throws RunError when it is another one, or gone. */
  confirm(): Promise<void>;
  /** The engine has just listed all of the binding's snapshots. @param hasForgotten the retention has worked on them */
  listed(snapshots: readonly SnapshotFacts[], hasForgotten?: boolean): Promise<void>;
  /** What was recalled holds, with one snapshot more. @returns all of them */
  added(snapshot: SnapshotFacts): Promise<SnapshotFacts[]>;
}

/**
 * Takes what the last run of the binding left, if nothing gives reason to doubt it, and otherwise looks at the
 * repository. What was left is gone then: only a run that ends well leaves it again.
 * @param look asks the engine for the repository's id. Throws RunError
 */
export async function openMemory(
  access: Access,
  { engine, mode, look }: { engine: Engine; mode: RecallMode; look: () => Promise<string> },
): Promise<Memory> {
  const { engineId: knownId, listing, isCertain, isConfirmed } = await recall(access, { engine, mode });
  const recalled = isCertain ? listing : null;
  const engineId = recalled !== null && knownId !== null ? knownId : await look();
  let isOpen = recalled === null || isConfirmed;
  const write = async (seen: LastListing): Promise<void> => {
    try {
      await writeListing(access.paths, { binding: access.scope.binding, engineId }, seen);
    } catch (error) {
      // The next run looks for itself.
      access.log.line(`what the repository holds is not recorded: ${failureOf(error).message}`);
    }
  };
  const now = (): string => instant(access.clock.now());
  return {
    engineId,
    recalled: recalled?.snapshots ?? null,
    async confirm() {
      if (!isOpen) await look();
      isOpen = true;
    },
    async listed(snapshots, hasForgotten = false) {
      await write({
        circumstances: circumstances(access, engine),
        identity: await identityOf(access),
        listedAt: now(),
        forgotAt: hasForgotten ? now() : (listing?.forgotAt ?? null),
        snapshots: [...snapshots],
      });
    },
    async added(snapshot) {
      const snapshots = [...(recalled?.snapshots ?? []), snapshot];
      if (recalled !== null) await write({ ...recalled, snapshots });
      return snapshots;
    },
  };
}

/**
 * Lists an opened repository's snapshots, which also shows that it is the one that was recalled: they have one in
 * common. What was just listed is not listed again to remove some of it.
 */
export function listOnce<T extends SnapshotFacts>(
  memory: Memory,
  ask: () => Promise<T[]>,
): { list(): Promise<T[]>; takeListed(): Promise<T[]> } {
  let listed: T[] | null = null;
  const list = async (): Promise<T[]> => {
    listed = await ask();
    const ids = new Set(listed.map(({ id }) => id));
    if (memory.recalled?.some(({ id }) => ids.has(id)) !== true) await memory.confirm();
    return listed;
  };
  return {
    list,
    async takeListed() {
      const found = listed ?? (await list());
      listed = null;
      return found;
    },
  };
}

interface Recalled {
  readonly engineId: string | null;
  readonly listing: LastListing | null;
  /** Nothing gives reason to doubt it. */
  readonly isCertain: boolean;
  /** The repository's own files say that it is the same one. If not, the engine's first answer has to. */
  readonly isConfirmed: boolean;
}

async function recall(access: Access, { engine, mode }: { engine: Engine; mode: RecallMode }): Promise<Recalled> {
  const { paths, repository, scope, secrets, clock } = access;
  const known = new Set(await knownEngineIds(paths, repository).catch(() => []));
  const [engineId = null] = known;
  const listing =
    engineId === null || mode === "none" ? null : await takeListing(paths, { binding: scope.binding, engineId });
  const isLocal = isLocalLocation(repository.location);
  const found = { engineId, listing, isConfirmed: isLocal, isCertain: false };
  if (listing === null || known.size > 1) return found;
  const age = clock.now() - Date.parse(listing.listedAt);
  const isSame =
    listing.circumstances === circumstances(access, engine) &&
    // While the passphrase is being replaced, the first call finds out which one opens it.
    (secrets.others ?? []).length === 0 &&
    // Other hosts remove from it.
    !repository.appendOnly;
  if (!isSame || age < 0 || age >= LISTED_FOR_MS) return found;
  if (!isLocal) return { ...found, isCertain: mode === "assumed" };
  const isCertain = listing.identity !== null && listing.identity === (await identityOf(access));
  return { ...found, isCertain };
}

function circumstances({ repository, user, scope }: Access, { path, version }: Engine): string {
  return circumstancesOf([repository.provider, repository.location, user.uid, scope.host, path, version]);
}

/** A digest of a local repository's config, which both engines write once; null when there is none. */
async function identityOf({ repository: { location } }: Access): Promise<string | null> {
  if (!isLocalLocation(location)) return null;
  let file: FileHandle | null = null;
  try {
    file = await open(join(location, "config"), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const status = await file.stat();
    const { size, ino, dev } = status;
    if (!status.isFile() || size > MAX_CONFIG_BYTES) return null;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_CONFIG_BYTES), 0, MAX_CONFIG_BYTES, 0);
    return createHash("sha256").update(`${dev} ${ino} `).update(buffer.subarray(0, bytesRead)).digest("hex");
  } catch {
    return null;
  } finally {
    await file?.close();
  }
}
