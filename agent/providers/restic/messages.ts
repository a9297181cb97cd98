import { getSystemErrorMap } from "node:util";
import * as z from "zod";
import { instant } from "../../../shared/ids.ts";
import type { Progress } from "../../../shared/run.ts";
import { type ItemWarnings, itemWarnings } from "../item-warnings.ts";

const count = z.int().min(0).optional();

const Status = z.object({
  message_type: z.literal("status"),
  percent_done: z.number().optional(),
  files_done: count,
  files_restored: count,
  total_files: count,
  bytes_done: count,
  bytes_restored: count,
  total_bytes: count,
});

export const BackupSummary = z.object({
  message_type: z.literal("summary"),
  files_new: count,
  files_changed: count,
  files_unmodified: count,
  data_added: count,
  total_files_processed: count,
  total_bytes_processed: count,
  // Up to 0.14 only its first digits. Never empty: that would be a prefix of every id.
  snapshot_id: z
    .string()
    .regex(/^[0-9a-f]{8,64}$/)
    .optional(),
});
export type BackupSummary = z.infer<typeof BackupSummary>;

const ItemError = z.object({ message_type: z.literal("error"), item: z.string().optional(), error: z.unknown() });

/** @returns null when the line is something else: restic mixes in plain text, and new message types may come */
export function readMessage<T>(schema: z.ZodType<T>, line: string): T | null {
  if (!line.startsWith("{")) return null;
  try {
    const message = schema.safeParse(JSON.parse(line));
    return message.success ? message.data : null;
  } catch {
    return null;
  }
}

/** @param at when the line came, in ms */
export function readProgress(line: string, at: number): Progress | null {
  const status = readMessage(Status, line);
  if (status === null) return null;
  const counts = {
    filesDone: status.files_done ?? status.files_restored,
    filesTotal: status.total_files,
    bytesDone: status.bytes_done ?? status.bytes_restored,
    bytesTotal: status.total_bytes,
  };
  const fraction = Math.min(1, Math.max(0, status.percent_done ?? 0));
  return { fraction, ...counts, at: instant(at) };
}

/** Collects restic's error messages about single files. */
export function itemErrors(): ItemWarnings & { read(line: string): boolean } {
  const found = itemWarnings();
  return {
    ...found,
    read(line) {
      const error = readItemError(line);
      if (error !== null) found.add(error.item, error.reason);
      return error !== null;
    },
  };
}

function readItemError(line: string): { item: string; reason: string } | null {
  const [, path, reason] = /^ignoring error for (.*?): (.*)$/.exec(line) ?? [];
  if (path !== undefined && reason !== undefined) return { item: path, reason };
  const message = readMessage(ItemError, line);
  return message === null ? null : { item: message.item ?? "", reason: reasonOf(message.error) };
}

const NewError = z.object({ message: z.string() });
/** The fields of a Go error, up to 0.17.0. */
const OldError = z.object({ Op: z.string(), Path: z.string(), Err: z.int() });

function reasonOf(error: unknown): string {
  const current = NewError.safeParse(error);
  if (current.success) return current.data.message;
  const fields = OldError.safeParse(error);
  if (!fields.success) return "could not be read";
  const { Op, Path, Err } = fields.data;
  const [, description = `error ${Err}`] = getSystemErrorMap().get(-Err) ?? [];
  return `${Op} ${Path}: ${description}`;
}
