import { armor, Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption";

/** @returns a new age key, `AGE-SECRET-KEY-1…` */
export async function newAgeKey(): Promise<string> {
  return await generateX25519Identity();
}

/** @returns the recipient of an age key, `age1…` @throws when it is no age key */
export async function recipientOf(key: string): Promise<string> {
  return await identityToRecipient(key);
}

/** @returns the text as an age file in text form, which each of the recipients can open */
export async function seal(recipients: readonly string[], text: string): Promise<string> {
  const encrypter = new Encrypter();
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  return armor.encode(await encrypter.encrypt(text));
}

/** @returns null when it was not sealed to this key, or was changed since */
export async function unseal(key: string, sealed: string): Promise<string | null> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(key);
  try {
    return await decrypter.decrypt(armor.decode(sealed), "text");
  } catch {
    return null;
  }
}
