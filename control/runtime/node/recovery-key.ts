import { createHash } from "node:crypto";
import { join } from "node:path";
import { RecoveryKey } from "../../../shared/recovery-key.ts";
import { readTextIfExists, writeFileAtomically } from "../../../shared/node/files.ts";

/** Grows when a key holds something else: an older program then says that it is too old. */
const PREFIX = "hfr1";

/** @returns one line, for a password manager or an envelope: `hfr1.DATA.CHECKSUM` */
export function writeRecoveryKey(key: RecoveryKey): string {
  const data = Buffer.from(JSON.stringify(key)).toString("base64url");
  return [PREFIX, data, checksumOf(data)].join(".");
}

/**
 * @param text as it was kept: line breaks and spaces in it do no harm
 * @throws Error saying what is wrong with it; never what it is
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

/** Ten characters: what a slip of the hand or a line that was cut off can't get past. */
function checksumOf(data: string): string {
  return createHash("sha256").update(`${PREFIX}.${data}`).digest("base64url").slice(0, 10);
}

/** Whether somebody has taken the key of the control plane in this data directory: until then `holdfast start` asks for it. */
export async function isRecoveryKeyTaken(dataDir: string): Promise<boolean> {
  return (await readTextIfExists(markerFile(dataDir))) !== null;
}

export async function markRecoveryKeyTaken(dataDir: string): Promise<void> {
  await writeFileAtomically(markerFile(dataDir), `${new Date().toISOString()}\n`);
}

function markerFile(dataDir: string): string {
  return join(dataDir, "recovery-key.taken");
}
