import * as z from "zod";
import { readPattern } from "./pattern-parts.ts";

/**
 * One exclude pattern in restic's dialect, without negation. It means the same for every provider; patterns that could
 * not are rejected, with the reason. docs/patterns.md is the reference.
 */
export const ExcludePattern = z
  .string()
  .min(1, "must not be empty")
  // Longer patterns are not parsed: every character of a pattern is visited many times.
  .max(4096, { abort: true })
  .superRefine((text, context) => {
    const pattern = readPattern(text);
    if (!pattern.ok) context.addIssue({ code: "custom", message: pattern.message });
  });
export type ExcludePattern = z.infer<typeof ExcludePattern>;

/** A pattern that was accepted before. A run finds out whether it still means the same for every provider. */
export const KnownPattern = z.string();
