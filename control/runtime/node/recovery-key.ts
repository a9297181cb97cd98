import { createHash } from "node:crypto";
import { join } from "node:path";
import { RecoveryKey } from "../../../shared/recovery-key.ts";
import { readTextIfExists, writeFileAtomically } from "../../../shared/node/files.ts";

/** The version of the format: an older program rejects a newer key. */
const PREFIX = "hfr1";

/** @returns one line, for a password manager or on paper: `hfr1.DATA.CHECKSUM` */
export function writeRecoveryKey(key: RecoveryKey): string {
  const data = Buffer.from(JSON.stringify(key)).toString("base64url");
  return [PREFIX, data, checksumOf(data)].join(".");
}

/**
 * @param text the key; white space in it is ignored
 * @throws Error that names the problem, never the content
 */
export function readRecoveryKey(text: string): RecoveryKey {
  const [prefix = "", data = "", checksum = "", ...more] = text.replace(/\s+/g, "").split(".");
  if (!/^hfr\d+$/.test(prefix)) throw new Error("this is no recovery key: one begins with hfr1. and is one line");
  if (prefix !== PREFIX)
    throw new Error(`this recovery key (${prefix}) was made by a newer Holdfast: use that version`);
  if (more.length > 0 || checksum !== checksumOf(data)) {
    throw new Error("the recovery key is not whole: a character is wrong, missing or too many; copy it again");
  }
  return RecoveryKey.parse(JSON.parse(Buffer.from(data, "base64url").toString()));
}

/** Ten characters: enough to detect a typing error or a truncated line. */
function checksumOf(data: string): string {
  return createHash("sha256").update(`${PREFIX}.${data}`).digest("base64url").slice(0, 10);
}

/** Whether the recovery key was printed once. Until then `holdfast start` reminds of it. */
export async function isRecoveryKeyTaken(dataDir: string): Promise<boolean> {
  return (await readTextIfExists(markerFile(dataDir))) !== null;
}

export async function markRecoveryKeyTaken(dataDir: string): Promise<void> {
  await writeFileAtomically(markerFile(dataDir), `${new Date().toISOString()}\n`);
}

function markerFile(dataDir: string): string {
  return join(dataDir, "recovery-key.taken");
}
