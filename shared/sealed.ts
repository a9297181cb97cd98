import * as z from "zod";

/** The public half of an age key (X25519): anyone can seal to it, only who has the key can open. */
export const Recipient = z
  .string()
  .regex(/^age1[0-9a-z]{58}$/, "must be an age recipient: 'age1' and 58 letters and digits");
export type Recipient = z.infer<typeof Recipient>;

/** An age file in its text form: https://age-encryption.org/v1. One text may be sealed to several recipients. */
export const SealedText = z
  .string()
  .max(32_768, "must not be longer than 32,768 characters: seal it to fewer hosts")
  .regex(
    /^-----BEGIN AGE ENCRYPTED FILE-----\n(?:[A-Za-z0-9+/=]{1,64}\n)+-----END AGE ENCRYPTED FILE-----\n?$/,
    "must be what `holdfast seal` prints: an age file as text, with its first and last line",
  );
