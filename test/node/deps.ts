import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { migrate } from "../../control/db/migrate.ts";
import type { Deps, Post } from "../../control/deps.ts";
import { openDatabase } from "../../control/runtime/node/database.ts";
import { createMail } from "../../control/runtime/node/mail.ts";
import { createPost, createDestinationCheck } from "../../control/runtime/node/outgoing.ts";
import { openSigningKey } from "../../control/runtime/node/signing-key.ts";

/** A directory that is gone after the test. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-node-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Where a home user lets notifications go. */
export const ANYWHERE = createDestinationCheck({ private: "allow", exceptions: [] }, null);

export interface HeldDeps extends Deps {
  readonly clock: { now(): number; pass(milliseconds: number): void };
}

/** What a verb is handed: a real database with real migrations, a real way out, and a clock that the test holds. */
export async function heldDeps(post: Post = createPost(ANYWHERE)): Promise<HeldDeps> {
  const directory = await temporaryDirectory();
  const db = openDatabase(`file:${join(directory, "control.db")}`);
  onTestFinished(() => db.$client.close());
  await migrate(db);
  let now = Date.parse("2026-11-23T08:00:00.000Z");
  return {
    db,
    clock: {
      now: () => now,
      pass: (milliseconds) => {
        now += milliseconds;
      },
    },
    random: (bytes) => new Uint8Array(randomBytes(bytes)),
    log: { info: () => undefined, error: () => undefined },
    hub: {
      poke: async () => undefined,
      ask: async () => null,
      lastHeardAt: async () => new Map(),
      mostAsked: 1,
      disconnect: async () => undefined,
    },
    signingKey: await openSigningKey(directory, undefined),
    post,
    mail: createMail(ANYWHERE),
    config: { url: "http://control.test", version: "0.0.0" },
    agentFiles: { read: async () => null },
    wakeOutbox: () => undefined,
  };
}
