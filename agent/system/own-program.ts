import { join } from "node:path";

/** The command that starts this program again: one file when compiled, otherwise a script and its runtime. */
export function ownProgram(): string[] {
  const { filename, dirname } = import.meta;
  if (filename.startsWith("/$bunfs/")) return [process.execPath];
  return [process.execPath, filename.endsWith(".ts") ? join(dirname, "../main.ts") : filename];
}
