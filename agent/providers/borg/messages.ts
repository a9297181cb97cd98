import * as z from "zod";
import { instant } from "../../../shared/ids.ts";
import type { Progress } from "../../../shared/run.ts";

/** A log line of borg's stderr with --log-json, if it is no prompt. */
export const LogMessage = z.object({
  type: z.literal("log_message"),
  levelname: z.string(),
  message: z.string(),
  /** Message id: of errors in every version, of warnings since 1.4. */
  msgid: z.string().optional(),
});
export type LogMessage = z.infer<typeof LogMessage>;

const count = z.int().min(0);
const ArchiveProgress = z.object({ type: z.literal("archive_progress"), nfiles: count, original_size: count });
const PercentProgress = z.object({
  type: z.literal("progress_percent"),
  current: z.number().min(0).max(Number.MAX_SAFE_INTEGER),
  total: z.number().positive().max(Number.MAX_SAFE_INTEGER),
});

/** @returns null when the line is something else: prompts and plain text are mixed in */
export function readMessage<T>(schema: z.ZodType<T>, line: string): T | null {
  if (!line.startsWith("{")) return null;
  try {
    const message = schema.safeParse(JSON.parse(line));
    return message.success ? message.data : null;
  } catch {
    return null;
  }
}

/** Borg does not know the total of a backup beforehand, so its fraction stays 0. @param at when the line came, in ms */
export function readProgress(line: string, at: number): Progress | null {
  const stored = readMessage(ArchiveProgress, line);
  if (stored !== null) {
    return { fraction: 0, filesDone: stored.nfiles, bytesDone: stored.original_size, at: instant(at) };
  }
  const read = readMessage(PercentProgress, line);
  if (read === null) return null;
  const bytes = { bytesDone: Math.round(read.current), bytesTotal: Math.round(read.total) };
  return { fraction: Math.min(1, read.current / read.total), ...bytes, at: instant(at) };
}

/** The message for a person in a line of stderr; null for progress, prompts and empty lines. */
export function readLogMessage(line: string): LogMessage | null {
  const message = readMessage(LogMessage, line);
  if (message !== null) return message;
  if (line.trim() === "" || /^\{"?.*"type": "/.test(line)) return null;
  return { type: "log_message", levelname: "ERROR", message: line.trim() };
}

/** Splits a warning about a single file: `PATH: what is wrong with it`. */
export function splitItemWarning(message: string): { item: string; reason: string } {
  const [, item, reason] = /^(\/?.*?): ((?:\w+: )?\[?\w.*)$/s.exec(message) ?? [];
  return item === undefined || reason === undefined ? { item: message, reason: message } : { item, reason };
}
