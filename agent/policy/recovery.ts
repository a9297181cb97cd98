import * as z from "zod";
import { Recipient } from "../../shared/sealed.ts";
import type { Paths } from "../config.ts";
import { peekState, writeState } from "../system/state-file.ts";

const Stored = z.object({ recipient: Recipient.nullable() });

/**
 * To whom this host seals copies of what opens its repositories. Root said so at the host's own terminal: a recipient
 * from the control plane could be anybody's.
 * @returns null when root has granted none
 * @throws an Error when the file is damaged
 */
export async function recoveryRecipient({ recoveryFile }: Pick<Paths, "recoveryFile">): Promise<string | null> {
  const found = await peekState(recoveryFile, Stored);
  if (found === "damaged")
    throw new Error(
      `${recoveryFile} is damaged: grant the recovery kit's recipient again, with 'holdfast-agent recovery'`,
    );
  return found === "none" ? null : found.value.recipient;
}

/** @param recipient null: nobody any more */
export async function grantRecovery(paths: Pick<Paths, "recoveryFile">, recipient: string | null): Promise<void> {
  await writeState(paths.recoveryFile, { recipient });
}
