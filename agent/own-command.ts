import { realpathSync } from "node:fs";

/** How this very program is started: the compiled file alone, or a runtime and the file it reads. */
export function ownCommand(): string[] {
  const [runtime = process.execPath, program = ""] = process.argv;
  // Bun's single file sees itself under a root that exists nowhere else.
  if (program.startsWith("/$bunfs/")) return [process.execPath];
  return [realpathSync(runtime), realpathSync(program)];
}
