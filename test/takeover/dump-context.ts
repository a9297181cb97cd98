import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { CommandContext } from "../../agent/consistency/run-command.ts";
import { openRunLog } from "../../agent/run-log.ts";

/** In which crafted dumps are loaded. */
export const context: CommandContext = {
  run: "01a21264-c0e7-7269-a84b-9fc1588e8b2c",
  log: openRunLog(Date),
  beforeStart: async () => undefined,
};

/** Where what an attack runs leaves its mark, as whoever it runs. @returns a directory that goes with the file's tests */
export function marksForThisFile(): string {
  const marks = mkdtempSync(join(tmpdir(), "holdfast-marks-"));
  chmodSync(marks, 0o777);
  afterAll(() => rmSync(marks, { recursive: true, force: true }));
  return marks;
}
