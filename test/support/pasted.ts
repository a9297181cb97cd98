import { spawn } from "node:child_process";

export interface Pasted {
  readonly code: number;
  /** Both streams, as they came. */
  readonly said: string;
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
  const child = spawn("sh", ["-s", "--", ...words], {
    env: { PATH, ...environment },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  // A script that ends early leaves the rest of its text unread.
  child.stdin.on("error", () => {});
  child.stdin.end(script);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 255, said }));
  });
}
