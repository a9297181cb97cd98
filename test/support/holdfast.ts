import { spawn } from "node:child_process";
import { once } from "node:events";

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one verb of the `holdfast` program, as a person who pipes `input` into it. @param program see built.ts */
export async function holdfast(
  program: string,
  { words, environment, input = "" }: { words: readonly string[]; environment: Record<string, string>; input?: string },
): Promise<Outcome> {
  const child = launch([process.execPath, program, ...words], environment);
  child.stdin.end(input);
  return await outcomeOf(child);
}

/** Starts a program with nothing of Holdfast in its environment but what is given. */
export function launch([command = "", ...args]: readonly string[], environment: Record<string, string>) {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("HOLDFAST_"));
  return spawn(command, args, { env: { ...Object.fromEntries(inherited), ...environment } });
}

export async function outcomeOf(child: ReturnType<typeof launch>): Promise<Outcome> {
  const outcome = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (outcome.stdout += String(chunk)));
  child.stderr.on("data", (chunk: Buffer) => (outcome.stderr += String(chunk)));
  const [code] = (await once(child, "close")) as [number | null];
  return { ...outcome, code };
}
