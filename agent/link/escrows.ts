import { createHmac } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { seal } from "../../shared/age.ts";
import type { AssignedRepository, Assignment } from "../../shared/assignment.ts";
import { messageOf } from "../../shared/error-message.ts";
import { type Escrow, RepositoryAccess } from "../../shared/escrow.ts";
import { SealedText } from "../../shared/sealed.ts";
import type { Paths } from "../config.ts";
import { readAgeKey, recipientOfHost } from "../policy/age-key.ts";
import { checkRepository } from "../policy/check.ts";
import { loadPolicy } from "../policy/policy.ts";
import { recoveryRecipient } from "../policy/recovery.ts";
import { readSecrets } from "../policy/secrets.ts";
import type { Timers } from "../system/timers.ts";
import { peekState } from "../system/state-file.ts";
import { ApiError, type Api } from "./api.ts";

export interface EscrowDeps {
  readonly paths: Paths;
  readonly api: Pick<Api, "putEscrows">;
  readonly timers: Timers;
  readonly random: (bytes: number) => Uint8Array;
  readonly log: (line: string) => void;
  readonly assignment: () => Assignment | null;
}

export interface EscrowSync {
  /** Sends what is new or changed. While it does, it looks once more afterwards. */
  run(): Promise<void>;
  /** The control plane may have lost what it had: everything is sent again. */
  reset(): void;
  stop(): void;
}

const AT_ONCE = 100;
/** How soon it is noticed that root has granted another recipient, or rotated a passphrase. */
const LOOK_EVERY_MS = 60_000;

/** Keeps a copy of what opens each repository with the control plane, sealed to the recipient that root granted. */
export function startEscrows(deps: EscrowDeps): EscrowSync {
  const sent = new Map<string, string>();
  let lastLogged = "";
  let running: Promise<void> | null = null;
  let isRunRequested = false;
  let granted: string | null = null;
  let lookedAt: number | null = null;
  let cancelTimer = (): void => {};

  const send = async (): Promise<void> => {
    const recipient = await recoveryRecipient(deps.paths);
    granted = recipient;
    const repositories = recipient === null ? [] : (deps.assignment()?.repositories ?? []);
    const escrows: Escrow[] = [];
    for (const repository of repositories) {
      const escrow = await escrowOf(deps, { repository, recipient: recipient ?? "", known: sent.get(repository.id) });
      if (escrow !== null) escrows.push(escrow);
    }
    while (escrows.length > 0) {
      const batch = escrows.splice(0, AT_ONCE);
      await deps.api.putEscrows(batch);
      for (const { repository, digest } of batch) sent.set(repository, digest);
    }
  };
  const rounds = async (): Promise<void> => {
    do {
      isRunRequested = false;
      try {
        await send();
        lastLogged = "";
      } catch (error) {
        // A control plane of an older version has no such route.
        if (error instanceof ApiError && error.code === "route.not_found") continue;
        const message = messageOf(error);
        if (message !== lastLogged) deps.log(`what the recovery kit needs can't be sent: ${message}`);
        lastLogged = message;
      }
    } while (isRunRequested);
    running = null;
  };
  const run = (): Promise<void> => {
    isRunRequested = true;
    return (running ??= rounds());
  };
  const look = async (): Promise<void> => {
    const now = await recoveryRecipient(deps.paths).catch(() => granted);
    const changedAt = await mtimeOf(deps.paths.secretsDir);
    if (now !== granted || changedAt !== lookedAt) void run();
    lookedAt = changedAt;
    cancelTimer = deps.timers.after(LOOK_EVERY_MS, () => void look());
  };
  cancelTimer = deps.timers.after(LOOK_EVERY_MS, () => void look());
  return { run, reset: () => sent.clear(), stop: () => cancelTimer() };
}

/** Of the directory: it changes with each secret that is made, rotated or removed. */
async function mtimeOf(directory: string): Promise<number | null> {
  return await stat(directory).then(
    ({ mtimeMs }) => mtimeMs,
    () => null,
  );
}

const Opened = z.object({ engineId: z.string(), location: z.string() });

/**
 * Only for a repository that this host has opened in that very place, and may still use.
 * @returns null when there is nothing to send
 */
async function escrowOf(
  { paths, random }: EscrowDeps,
  input: { repository: AssignedRepository; recipient: string; known: string | undefined },
): Promise<Escrow | null> {
  const { repository, recipient, known } = input;
  const opened = await peekState(join(paths.repositoriesDir, `${repository.id}.json`), Opened);
  if (typeof opened === "string" || opened.value.location !== repository.location) return null;
  try {
    checkRepository(await loadPolicy(paths), repository);
    const secrets = await readSecrets({ paths, random }, { repository, wasSeen: true, mayGenerate: false });
    const { name, provider, location, ssh } = repository;
    const content = RepositoryAccess.parse({
      name,
      provider,
      location,
      engineId: opened.value.engineId,
      passphrase: secrets.passphrase,
      secrets: secrets.env,
      hostKey: ssh.hostKey,
    });
    const text = JSON.stringify(content);
    await recipientOfHost(paths);
    const key = (await readAgeKey(paths)) ?? "";
    const digest = createHmac("sha256", key).update(`${recipient}\n${text}`).digest("hex");
    if (digest === known) return null;
    const sealed = await seal([recipient], text);
    return SealedText.safeParse(sealed).success ? { repository: repository.id, recipient, sealed, digest } : null;
  } catch {
    // Its next run says what is wrong with its secrets, or with the policy.
    return null;
  }
}
