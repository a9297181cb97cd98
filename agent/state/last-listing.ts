import { createHash } from "node:crypto";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { type Id, Instant } from "../../shared/ids.ts";
import { SnapshotFacts } from "../../shared/run.ts";
import type { Paths } from "../config.ts";
import { peekState, writeState } from "../system/state-file.ts";

const LastListing = z.strictObject({
  circumstances: z.string().describe("a digest of what it was listed with: it says nothing about any other"),
  identity: z.string().nullable().describe("a digest of a local repository's config file; null: it is not local"),
  listedAt: Instant.describe("when the engine listed all of them"),
  forgotAt: Instant.nullable().describe("when the retention last worked on them; null: not known"),
  snapshots: z.array(SnapshotFacts).describe("as listed then, with those that good backups have added since"),
});
/** What a repository held of one binding when it was last listed. It only spares questions: it may always be lost. */
export type LastListing = z.infer<typeof LastListing>;

/** Which snapshots: `engineId` is the id that the engine gave the repository. */
interface Subject {
  readonly binding: Id;
  readonly engineId: string;
}

/** @returns null when there is none, or it can't be read */
export async function peekListing(paths: Pick<Paths, "bindingsDir">, subject: Subject): Promise<LastListing | null> {
  const found = await peekState(fileOf(paths, subject), LastListing).catch(() => "damaged" as const);
  return found === "none" || found === "damaged" ? null : found.value;
}

/** Reads it and removes it: only who ends well writes it again, so that every other end is a reason to look. */
export async function takeListing(paths: Pick<Paths, "bindingsDir">, subject: Subject): Promise<LastListing | null> {
  const listing = await peekListing(paths, subject);
  await rm(fileOf(paths, subject), { force: true });
  return listing;
}

export async function writeListing(
  paths: Pick<Paths, "bindingsDir">,
  subject: Subject,
  listing: LastListing,
): Promise<void> {
  await writeState(fileOf(paths, subject), listing);
}

/** For whoever changes snapshots of any binding: what is known of the whole repository is forgotten. */
export async function dropListings({ bindingsDir }: Pick<Paths, "bindingsDir">, engineId: string): Promise<void> {
  const names = await readdir(bindingsDir).catch(() => []);
  for (const name of names.filter((one) => one.endsWith(suffixOf(engineId))))
    await rm(join(bindingsDir, name), { force: true });
}

/** @param parts what must be the same for a listing to count */
export function circumstancesOf(parts: readonly (string | number)[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

function fileOf({ bindingsDir }: Pick<Paths, "bindingsDir">, { binding, engineId }: Subject): string {
  return join(bindingsDir, `${binding}${suffixOf(engineId)}`);
}

function suffixOf(engineId: string): string {
  return `.listed-${engineId.slice(0, 16)}.json`;
}
