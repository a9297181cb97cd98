import { spawn } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Pasted {
  readonly code: number;
  /** Both streams, as they came. */
  readonly said: string;
}

/**
 * Types a line into a shell, as somebody does who pastes it. There is a `sudo` that changes nothing, since the tests may
 * run where there is none.
 * @param shell the shell and its words, such as `["bash", "-i"]`
 */
export async function pasteLine(
  line: string,
  environment: Record<string, string>,
  shell: readonly [string, ...string[]] = ["sh"],
): Promise<Pasted> {
  const tools = await mkdtemp(join(tmpdir(), "holdfast-sudo-"));
  try {
    await writeFile(join(tools, "sudo"), '#!/bin/sh\nexec "$@"\n');
    await chmod(join(tools, "sudo"), 0o755);
    const { PATH = process.env["PATH"] ?? "", ...others } = environment;
    return await typeInto(shell, `${line}\n`, { ...others, PATH: `${tools}:${PATH}` });
  } finally {
    await rm(tools, { recursive: true });
  }
}

/**
 * Runs a script the way `curl … | sh -s -- WORDS` does: by standard input, with nothing of our environment but PATH.
 * @param uid whom it runs as; default: who we are
 */
export function paste(
  script: string,
  words: readonly string[],
  environment: Record<string, string>,
  uid?: number,
): Promise<Pasted> {
  const { PATH = "" } = process.env;
  return typeInto(["sh", "-s", "--", ...words], script, { PATH, ...environment }, uid);
}

function typeInto(
  [command, ...words]: readonly [string, ...string[]],
  text: string,
  env: Record<string, string>,
  uid?: number,
): Promise<Pasted> {
  const child = spawn(command, words, { env, ...(uid === undefined ? {} : { uid, gid: uid }) });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  // A script that ends early leaves the rest of its text unread.
  child.stdin.on("error", () => {});
  child.stdin.end(text);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 255, said }));
  });
}
