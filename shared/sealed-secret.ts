import * as z from "zod";
import { seal, unseal } from "./age.ts";
import { EnvironmentName } from "./environment.ts";
import { ProviderName } from "./repository.ts";
import { parseJson } from "./json.ts";

/** Where a repository is. A secret that is sealed for one place is used for no other. */
export const SecretPlace = z.strictObject({ provider: ProviderName, location: z.string().min(1).max(2048) });
export type SecretPlace = z.infer<typeof SecretPlace>;

/** What a sealed secret is: the passphrase, a credential of the storage, or a variable for hooks. */
export const SealedName = z.union([z.literal("passphrase"), EnvironmentName]);
export type SealedName = z.infer<typeof SealedName>;

/** The inside of a `{"sealed":"…"}`. */
export const SealedSecret = z.strictObject({
  for: SecretPlace,
  name: SealedName,
  value: z
    .string()
    .min(1, "must not be empty")
    .max(8192, "must not be longer than 8,192 characters")
    .regex(/^[^\0\r\n]*$/, "must be one line"),
});
export type SealedSecret = z.infer<typeof SealedSecret>;

/** @returns the text for `{"sealed":"…"}`, which the hosts of these recipients can open */
export async function sealSecret(recipients: readonly string[], secret: SealedSecret): Promise<string> {
  return await seal(recipients, JSON.stringify(SealedSecret.parse(secret)));
}

/** @param key the host's age key @returns null when it was not sealed to it, or holds something else */
export async function openSealedSecret(key: string, sealed: string): Promise<SealedSecret | null> {
  const text = await unseal(key, sealed);
  const parsed = text === null ? null : SealedSecret.safeParse(parseJson(text));
  return parsed?.success === true ? parsed.data : null;
}
