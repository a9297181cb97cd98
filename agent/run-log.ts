import { LOG_TAIL_BYTES } from "../shared/run.ts";
import { lastLines } from "./system/process/lines.ts";
import { type Redact, redactor } from "./redact.ts";

/** The log of one run: its end only, without secrets. */
export interface RunLog {
  line(text: string): void;
  /** Redacts these values in everything logged from now on. */
  hide(secrets: readonly string[]): void;
  readonly redact: Redact;
  /** At most 64 KiB of UTF-8, whole lines. */
  tail(): string;
}

const MAX_LINE_CHARACTERS = 4_000;

/**
 * @param before the log of the same run by an earlier process
 * @param onLine gets each line as it is kept, without its time
 */
export function openRunLog(clock: { now(): number }, before = "", onLine?: (line: string) => void): RunLog {
  const lines = lastLines(LOG_TAIL_BYTES);
  for (const line of before.split("\n").filter((text) => text !== "")) lines.push(line);
  const secrets: string[] = [];
  let redact = redactor(secrets);
  return {
    line(text) {
      const time = new Date(clock.now()).toISOString().slice(11, 19);
      const line = printable(redact(text));
      lines.push(`${time}Z ${line}`);
      onLine?.(line);
    },
    hide(more) {
      secrets.push(...more);
      redact = redactor(secrets);
    },
    redact: (text) => redact(text),
    tail: () => lines.text(),
  };
}

/** Removes terminal codes and control characters; lines after the first are indented. */
function printable(text: string): string {
  const plain = text
    .slice(0, MAX_LINE_CHARACTERS)
    // oxlint-disable-next-line no-control-regex -- removing them is the point
    .replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "")
    // oxlint-disable-next-line no-control-regex -- removing them is the point
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "");
  return plain.replaceAll("\n", "\n  ");
}
