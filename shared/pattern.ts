import * as z from "zod";

/** One exclude pattern in restic's dialect, without its negation. It means the same to every provider. */
export const ExcludePattern = z
  .string()
  .min(1, "must not be empty")
  .max(4096)
  .refine((pattern) => !/[\0\n]/.test(pattern), "must not contain NUL or a newline")
  .refine((pattern) => !pattern.startsWith("!"), "must not begin with '!': a pattern only ever leaves out");
export type ExcludePattern = z.infer<typeof ExcludePattern>;
