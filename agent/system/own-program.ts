import { join } from "node:path";

/** How this very program is begun once more: compiled it is one file, else a script and what runs it. */
export function ownProgram(): string[] {
  const { filename, dirname } = import.meta;
  if (filename.startsWith("/$bunfs/")) return [process.execPath];
  return [process.execPath, filename.endsWith(".ts") ? join(dirname, "../main.ts") : filename];
}
