import { text } from "node:stream/consumers";
import type { ReadStream } from "node:tty";
import { EXIT } from "../../shared/node/arguments.ts";
import { ExitError } from "./terminal.ts";

const CONTROL_C = "\u0003";
const CONTROL_D = "\u0004";

/**
 * Reads one secret from stdin: what is piped in, without its last line feed, or what is typed, without showing it.
 * Never an argument: every user of the machine can read those.
 */
export async function readSecret(prompt: string, stdin: ReadStream = process.stdin): Promise<string> {
  const secret = stdin.isTTY ? await typed(prompt, stdin) : (await text(stdin)).replace(/\r?\n$/, "");
  if (secret === "") throw new ExitError(EXIT.failed, "no secret was given: pipe it in, or type it");
  return secret;
}

async function typed(prompt: string, stdin: ReadStream): Promise<string> {
  // Before it asks: a quick answer must not be shown either.
  stdin.setRawMode(true);
  process.stderr.write(`${prompt}: `);
  stdin.setEncoding("utf8");
  try {
    let secret = "";
    for await (const chunk of stdin) {
      for (const character of String(chunk)) {
        if (character === CONTROL_C) throw new ExitError(EXIT.failed, "cancelled");
        if (character === "\r" || character === "\n" || character === CONTROL_D) return secret;
        secret = character === "\u007f" ? secret.slice(0, -1) : secret + character;
      }
    }
    return secret;
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    process.stderr.write("\n");
  }
}
