import * as z from "zod";
import { readPattern } from "./pattern-parts.ts";

/**
 * One exclude pattern in restic's dialect, without its negation. It means the same to every provider; what could not is
 * refused, and the message says why. docs/patterns.md is the reference.
 */
export const ExcludePattern = z
  .string()
  .min(1, "must not be empty")
  // Not read when it is longer: every character of a pattern is looked at many times.
  .max(4096, { abort: true })
  .superRefine((text, context) => {
    const pattern = readPattern(text);
    if (!pattern.ok) context.addIssue({ code: "custom", message: pattern.message });
  });
export type ExcludePattern = z.infer<typeof ExcludePattern>;

/** One that was taken once. A run finds out whether it still means the same everywhere. */
export const KnownPattern = z.string();
